"""``hud debug`` on a real engine: each malady is found in its phase, with what helps and the exit code of the phase."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from hud.cli.host import run as hud

pytestmark = pytest.mark.slow  # each starts containers

ENV = """
import os
from hud import Environment

env = Environment("letters")


@env.tool
def count_letter(text: str) -> int:
    return text.count("r")


@env.scenario()
async def count(text: str, times: int = 1):
    answer = yield f"How many r in {text}?"
    yield answer == "2"
"""
SCENARIO = ENV.partition("@env.scenario")[0] + "@env.scenario({options})\nasync def broken():\n{body}"
ELF = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
"""How a program of 64 bits begins."""
Image = Callable[[str, Mapping[str, str]], str]
Debug = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def debug(
    docker: APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Debug:
    """Run ``hud debug --json``; give its exit code and what it said."""
    del docker

    def run(*words: str, **variables: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.chdir(tmp_path)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = hud(["debug", "--json", *words])
        said = capfd.readouterr()
        assert said.out, said.err
        return code, json.loads(said.out)

    return run


def from_base(base: str, *lines: str) -> dict[str, str]:
    return {"Dockerfile": "\n".join([f"FROM {base}", "LABEL hud-test=image", "WORKDIR /app", "COPY . .", *lines])}


def last(code: int, said: dict[str, Any], phase: int) -> dict[str, Any]:
    """Give the phase that failed, once it is seen that it is the one that should."""
    assert (said["failed_phase"], code) == (phase, 10 + phase), said["phases"][-1]
    assert [one["passed"] for one in said["phases"]] == [True] * (phase - 1) + [False]
    failed: dict[str, Any] = said["phases"][-1]
    assert failed["error"]
    assert failed["tried"]
    return failed


# --- what is well -----------------------------------------------------------------------------------------------------


def test_an_image_that_works_passes_every_phase(image: Image, debug: Debug, docker: APIClient) -> None:
    code, said = debug(image("letters", {"env.py": ENV}), "--args", '{"text": "berry"}', "--answer", "2")
    assert (code, said["passed"], len(said["phases"])) == (0, True, 5), said
    assert said["phases"][2]["found"] == ["tools: count_letter", "scenarios: letters:count(text, times?)"]
    assert said["phases"][3]["found"] == ["prompt: How many r in berry?"]
    *rewards, isolated = said["phases"][4]["found"]
    assert rewards == ["reward of the first container: 1", "reward of the second container: 1"]
    assert "written to /app, /tmp" in isolated
    assert docker.containers(all=True, filters={"label": "org.hud.debug"}) == []


def test_it_stops_where_it_is_told_to(image: Image, debug: Debug) -> None:
    code, said = debug(image("letters", {"env.py": ENV}), "--max-phase", "1")
    assert (code, said["passed"], len(said["phases"])) == (0, True, 1)


def test_a_folder_is_built_and_examined(base_image: str, debug: Debug, tmp_path: Path) -> None:
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "Dockerfile").write_text(f'FROM {base_image}\nCOPY env.py .\nCMD ["hud", "dev", "env:env"]\n')
    code, said = debug(".")
    assert (code, said["passed"]) == (0, True), said
    assert said["phases"][3]["found"] == ["prompt: How many r in text?"]  # an argument was made up


def test_people_see_each_phase_with_what_helps(image: Image, base_image: str, docker: APIClient) -> None:
    del docker
    broken = image("nothing-there", {**from_base(base_image, 'CMD ["python", "-c", "import nothing_there"]')})
    command = [sys.executable, "-m", "hud", "debug", broken]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = done.stdout.splitlines()
    assert done.returncode == 12
    assert lines[0].startswith("✓ Phase 1: Docker image exists  (")
    assert any(line.startswith("✗ Phase 2: MCP server does not respond to initialize  (") for line in lines)
    assert any("  → Error: " in line and broken in line for line in lines)
    assert "  → Fix: nothing_there cannot be imported in the container" in done.stdout
    assert "    | ModuleNotFoundError: No module named 'nothing_there'" in lines
    assert lines[-1] == f"{broken}: phase 2 failed, 1 before it passed"


# --- phase 1 ----------------------------------------------------------------------------------------------------------


def test_an_image_that_is_not_there(debug: Debug) -> None:
    failed = last(*debug("hud-test-no-such:image"), 1)
    assert "no image 'hud-test-no-such:image'" in failed["error"]
    assert "hud build" in failed["fix"]


def test_no_engine(tmp_path: Path) -> None:
    failed = last(*alone(["debug", "--json", "x"], DOCKER_HOST=f"unix://{tmp_path}/none.sock"), 1)
    assert failed["title"] == "No container engine"
    assert "no engine answers" in failed["error"]
    assert "DOCKER_HOST" in failed["error"] + failed["fix"]


UNPRIVILEGED = """
import contextlib, io, os, sys
from hud.cli.host import run

asked, os.environ["DOCKER_HOST"] = os.environ["DOCKER_HOST"], "unix:///none.sock"
with contextlib.redirect_stdout(io.StringIO()):
    run(["debug", "--json", "x"])  # imports what a user without rights may not read
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.environ["DOCKER_HOST"] = asked
sys.exit(run(["debug", "--json", "x"]))
"""


def test_no_permission_on_the_socket() -> None:
    """As a user who is not in the socket's group."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        Path(folder).chmod(0o755)
        place = Path(folder, "engine.sock")
        listening.bind(str(place))
        listening.listen()
        place.chmod(0)
        failed = last(*alone(None, DOCKER_HOST=f"unix://{place}"), 1)
    assert f"no permission on the engine's socket {place}" in failed["error"]
    assert "usermod -aG" in failed["fix"]


def alone(words: list[str] | None, **variables: str) -> tuple[int, dict[str, Any]]:
    """Run `hud` in a process of its own: what a refused connection leaves behind ends with it."""
    command = ["-c", UNPRIVILEGED] if words is None else ["-m", "hud", *words]
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("dockerfile", "error", "fix"),
    [
        ("FRUM python:3.11-slim\n", "unknown instruction: FRUM", "correct the Dockerfile"),
        ("FROM scratch\nCOPY nosuch.py /\n", "nosuch.py", "inside the build context"),
        (
            "FROM python:3.11-slim\nRUN false\n",
            "line 2: step 2/2 failed: RUN false",
            "correct the command in that line",
        ),
    ],
)
def test_a_dockerfile_that_does_not_build(debug: Debug, tmp_path: Path, dockerfile: str, error: str, fix: str) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    failed = last(*debug("."), 1)
    assert error in failed["error"]
    assert fix in failed["fix"]


# --- phase 2 ----------------------------------------------------------------------------------------------------------

_STARTS = {
    "not found": ('CMD ["no-such-program"]', "no-such-program", "names a program that is not in the image"),
    "ends at once": ('CMD ["true"]', "exited with code 0", "it must start an MCP server"),
    "crashes": ('CMD ["python", "-c", "1 / 0"]', "ZeroDivisionError", "correct what the error names"),
    "silent": ('CMD ["sleep", "600"]', "no answer to the handshake within 2 s", "CMD serves MCP over stdio"),
    "other port": (  # `CMD` runs something else than hud: only labels say that it is to serve HTTP
        'LABEL org.hud.transport=http org.hud.port=8765\nCMD ["python", "-m", "http.server", "9000"]',
        "8765",
        "the server listens at another port",
    ),
    "import": ('CMD ["hud", "dev", "nosuch:env", "--stdio"]', "nosuch", "name one, as in env:env"),
    "variable": ('CMD ["python", "-c", "import os; os.environ[\'API_TOKEN\']"]', "API_TOKEN", "-e API_TOKEN=VALUE"),
}


@pytest.mark.parametrize("name", _STARTS)
def test_a_server_that_does_not_start(image: Image, base_image: str, debug: Debug, name: str) -> None:
    line, error, fix = _STARTS[name]
    patience = "2" if name in ("silent", "other port") else "60"
    failed = last(*debug(image(name.replace(" ", "-"), from_base(base_image, line)), "--timeout", patience), 2)
    assert error in failed["error"]
    assert fix in f"{failed['fix']} {failed['error']}"


def test_an_image_for_another_machine(docker: APIClient, debug: Debug, tmp_path: Path) -> None:
    here = docker.version()["Arch"]
    other, number = ("amd64", 0x3E) if here == "arm64" else ("arm64", 0xB7)
    program = tmp_path / "server"
    program.write_bytes(ELF + bytes([2, 0, number, 0, 1, 0, 0, 0]) + bytes(64))
    program.chmod(0o755)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY server /\nLABEL hud-test=image\nCMD ["/server"]\n')
    code, said = debug(".", "--timeout", "60", "--platform", f"linux/{other}")
    failed = last(code, said, 2)
    assert f"warning: the image is for linux/{other} and this engine for linux/{here}" in said["phases"][0]["found"]
    assert "for another architecture" in failed["fix"]


def test_text_before_the_protocol_is_warned_of(image: Image, base_image: str, debug: Debug) -> None:
    line = 'CMD ["sh", "-c", "echo Welcome; exec hud dev env:env --stdio"]'
    code, said = debug(image("welcome", {"env.py": ENV, **from_base(base_image, line)}), "--max-phase", "2")
    assert code == 0, said
    (warning,) = said["phases"][1]["found"]
    assert "Welcome" in warning
    assert "print to stderr" in warning


# --- phases 3 to 5 ----------------------------------------------------------------------------------------------------

_SCENARIOS = {
    "nothing": ("from hud import Environment\nenv = Environment('letters')\n", 3, "no tool and no scenario", ""),
    "no scenario": (ENV.partition("@env.scenario")[0], 4, "no scenario", "@env.scenario()"),
    "setup": (SCENARIO.format(options="", body="    raise ValueError('the shop is closed')\n    yield\n"),
              4, "the shop is closed", "correct what"),
    "variable": (SCENARIO.format(options="required_env_vars=['API_TOKEN']", body="    yield 'go'\n    yield 1.0\n"),
                 4, "API_TOKEN", "-e API_TOKEN=VALUE"),
    "grade": (SCENARIO.format(options="", body="    yield 'go'\n    raise ValueError('no ruler')\n"),
              5, "no ruler", "correct what"),
}  # fmt: skip


@pytest.mark.parametrize("name", _SCENARIOS)
def test_an_environment_that_does_not_score(image: Image, debug: Debug, name: str) -> None:
    code, phase, error, fix = _SCENARIOS[name]
    failed = last(*debug(image(name.replace(" ", "-"), {"env.py": code})), phase)
    assert error in failed["error"]
    assert fix in (failed["fix"] or "")


def test_a_variable_that_is_given(image: Image, debug: Debug) -> None:
    tag = image("variable", {"env.py": _SCENARIOS["variable"][0]})
    code, said = debug(tag, "-e", "API_TOKEN=s3cret")
    assert code == 0, said
    assert "s3cret" not in json.dumps(said)
    assert debug(tag, "-e", "API_TOKEN", API_TOKEN="s3cret")[0] == 0


def test_containers_that_share_a_volume_are_not_isolated(image: Image, debug: Debug, docker: APIClient) -> None:
    volume = f"hud-test-{secrets.token_hex(4)}"
    try:
        failed = last(*debug(image("letters", {"env.py": ENV}), "--", "-v", f"{volume}:/data"), 5)
    finally:
        docker.remove_volume(volume)
    assert failed["title"] == "Sessions are not isolated"
    assert f"both containers write to {volume}, mounted at /data" in failed["error"]
    assert ":ro" in failed["fix"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_stopped(
    image: Image, base_image: str, docker: APIClient, number: signal.Signals
) -> None:
    tag = image("silent", from_base(base_image, _STARTS["silent"][0]))
    running = lambda: docker.containers(all=True, filters={"label": "org.hud.debug", "ancestor": tag})  # noqa: E731
    with subprocess.Popen([sys.executable, "-m", "hud", "debug", tag], stdout=subprocess.PIPE) as process:
        while not running():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == 130
    assert running() == []


# --- asking wrongly ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([".", "--json"], "no Dockerfile in"),
        (["x", "--build"], "--build needs the folder"),
        (["x", "--args", "[1]"], "--args must be a JSON object"),
        (["x", "--args", "{"], "--args is no JSON"),
        (["x", "-e", "HUD_NO_SUCH_VARIABLE"], "no such environment variable"),
        (["x", "--max-phase", "6"], "--max-phase"),
        (["./nodir"], "there is no folder './nodir'"),
        (["x", "--", "--privileged"], "--privileged, which is not offered"),
        (["--", "--memory", "8g"], "no Dockerfile in"),  # the folder worked in, then
        (["x", "-v", "/a:/b"], "unknown argument '/a:/b'; arguments of `docker run` stand behind a --"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, words: list[str], says: str) -> None:
    command = [sys.executable, "-m", "hud", "debug", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
