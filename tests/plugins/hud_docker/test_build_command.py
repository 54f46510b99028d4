"""``hud build``, ``hud init`` and ``hud push``, as users call them, on a real engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from docker import APIClient
from docker.errors import NotFound

from hud_docker.sweeping import IMAGES as TEMPORARY

BUILDERS = ["buildkit", "classic"]
TOOL = shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}")
"""A docker program that has BuildKit, which the tests need: where two are there, the first may lack it."""
MARK = "hud-test-e"
ENV = '''
import os
from hud import Environment
from hud.server import MCPRouter

env = Environment("greeter")
desk = MCPRouter("desk")

@desk.tool
def ring() -> str:
    return "ding"

env.include_router(desk, hidden=True)

@env.tool
def greet(name: str) -> str:
    """Say hello."""
    return f"hello {name}"

@env.resource("greeter://rules")
def rules() -> str:
    """Say how to greet."""
    return "Be kind."

@env.scenario(exclude_tools=["nothing_*"])
async def polite(name: str, times: int = 1):
    """Ask for a greeting."""
    answer = yield f"Greet {name}"
    yield 1.0 if name in answer else 0.0
'''


def environ(builder: str = "buildkit", **more: str) -> dict[str, str]:
    """Give what the command is to see: a docker program with BuildKit, or the wish to do without."""
    assert TOOL, "the docker program is needed: apt install docker.io"
    chosen = {"DOCKER_BUILDKIT": "1" if builder == "buildkit" else "0"}
    return {**os.environ, "PATH": f"{Path(TOOL).parent}:{os.environ['PATH']}", "NO_COLOR": "1", **chosen, **more}


def hud(*words: str, cwd: Path, builder: str = "buildkit", **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hud", *words]
    return subprocess.run(
        command, cwd=cwd, env=environ(builder, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip


def planted(folder: Path, base_image: str) -> Path:
    """Plant an environment of a name of its own."""
    project = folder / f"{MARK}-{uuid.uuid4().hex[:10]}"
    project.mkdir()
    (project / "env.py").write_text(ENV)
    serving = 'WORKDIR /app\nCOPY . .\nCMD ["hud", "dev", "env", "--stdio"]\n'
    (project / "Dockerfile").write_text(f"FROM {base_image}\n{serving}")
    return project


def uproot(docker: APIClient, project: Path) -> None:
    for image in docker.images():
        for tag in image["RepoTags"] or ():
            if project.name in tag:
                docker.remove_image(tag, noprune=True)


@pytest.fixture
def project(tmp_path: Path, docker: APIClient, base_image: str) -> Iterator[Path]:
    """An environment; its images are removed afterwards."""
    project = planted(tmp_path, base_image)
    yield project
    uproot(docker, project)


@pytest.fixture(scope="module", params=BUILDERS)
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, docker: APIClient, base_image: str
) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    """An environment that was built, by one builder and by the other, with what the command said."""
    project = planted(tmp_path_factory.mktemp("built"), base_image)
    (project / ".env").write_text("FROM_FILE=one\nAPI_TOKEN=secret-of-the-file\n")
    (project / ".dockerignore").write_text(".env\n")
    with (project / "Dockerfile").open("a") as file:
        file.write("ENV MODE=\nENV SPEED=fast\n")
    (project / "tasks.json").write_text(json.dumps([{"image": f"{project.name}:0.0.9"}]))
    words = ["build", ".", "-t", f"{project.name}-too", "--json", "-e", "MODE=x-secret-mode"]
    yield project, hud(*words, cwd=project, builder=request.param)
    uproot(docker, project)


def lock_of(project: Path) -> dict:
    return yaml.safe_load((project / "hud.lock.yaml").read_text())


# --- what is built ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_environment_is_built_looked_into_and_locked(built, docker):
    project, done = built
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["tools"], result["scenarios"]) == (["desk", "greet"], ["greeter:polite"])
    assert result["tags"] == [f"{project.name}:latest", f"{project.name}-too:latest"]
    assert f"building {project.name}:0.1.0 with {result['builder']}" in done.stderr
    assert "tasks.json still runs version 0.0.9; write 0.1.0 there" in done.stderr

    lock = lock_of(project)
    image = docker.inspect_image(f"{project.name}:0.1.0")
    assert lock["images"] == {
        "local": f"{project.name}:0.1.0", "full": f"{project.name}:0.1.0@{image['Id']}", "pushed": None
    }  # fmt: skip
    assert image["Id"] == docker.inspect_image(f"{project.name}:latest")["Id"] == result["id"]
    build = lock["build"]
    assert (build["version"], build["directory"], build["platform"]) == ("0.1.0", project.name, "linux/amd64")
    assert build["sourceFiles"] == [".dockerignore", "Dockerfile", "env.py", "tasks.json"]
    assert (lock["environment"]["toolCount"], lock["environment"]["internalToolCount"]) == (2, 1)
    assert lock["environment"]["initializeMs"] > 0
    assert lock["environment"]["variables"]["required"] == ["API_TOKEN", "FROM_FILE", "MODE"]
    assert lock["environment"]["variables"]["optional"] == ["SPEED"]
    assert lock["tools"][0]["internalTools"] == lock["hubTools"]["desk"] == ["ring"]
    assert lock["tools"][1]["inputSchema"]["required"] == ["name"]
    [scenario] = lock["scenarios"]
    assert scenario["id"] == "greeter:polite"
    assert (
        scenario["arguments"]
        == lock["prompts"][0]["arguments"]
        == [
            {"name": "name", "required": True, "type": "string"},
            {"name": "times", "required": False, "default": 1, "type": "integer"},
        ]
    )
    assert scenario["exclude_tools"] == ["nothing_*"]
    assert [it["uri"] for it in lock["resources"]] == ["greeter:polite", "desk://functions", "greeter://rules"]
    assert lock["resources"][2]["description"] == "Say how to greet."

    labels = image["Config"]["Labels"]
    assert labels["org.hud.version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{64}:\d+", labels["org.hud.manifest.head"])
    assert "org.hud.owner" not in labels
    everything = [done.stdout, done.stderr, (project / "hud.lock.yaml").read_text(), json.dumps(image)]
    assert not any("secret-of-the-file" in text or "x-secret-mode" in text for text in everything)


@pytest.mark.slow
def test_both_builders_were_there(built, request):
    assert json.loads(built[1].stdout)["builder"] == request.node.callspec.params["built"]


@pytest.mark.slow
@pytest.mark.parametrize("built", ["buildkit"], indirect=True)
def test_each_build_has_a_version_of_its_own(built, docker):
    project = built[0]
    first = docker.inspect_image(f"{project.name}:0.1.0")["Id"]
    kept = (project / "hud.lock.yaml").read_bytes()
    again = hud("build", ".", "--bump", "minor", cwd=project)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"built {project.name}:0.2.0, also called {project.name}:latest\n")
    assert lock_of(project)["build"]["sourceHash"] == yaml.safe_load(kept)["build"]["sourceHash"]
    assert docker.inspect_image(f"{project.name}:0.1.0")["Id"] == first
    (project / "hud.lock.yaml").write_bytes(kept)


def test_without_a_lock_nothing_is_current(tmp_path):
    (tmp_path / "Dockerfile").touch()
    done = hud("build", "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "hud.lock.yaml is not there; `hud build` writes it" in done.stderr


@pytest.mark.slow
def test_the_lock_says_whether_it_is_current(built, tmp_path):
    project = tmp_path / "copy"
    shutil.copytree(built[0], project)
    away = {"DOCKER_HOST": "unix:///nowhere.sock"}  # no engine is needed
    current = hud("build", "--check", cwd=project, **away)
    assert (current.returncode, current.stdout) == (0, "current: the files are those of version 0.1.0\n")
    (project / "env.py").write_text(ENV + "# more")
    (project / "new.txt").touch()
    changed = hud("build", ".", "--check", cwd=project, **away)
    assert changed.returncode == 1
    assert changed.stdout.splitlines()[1:] == ["  changed  env.py", "  added    new.txt"]
    data = hud("build", "--check", "--json", cwd=project, **away)
    assert data.returncode == 1
    assert json.loads(data.stdout) == {
        "current": False, "version": "0.1.0", "changed": ["env.py"], "added": ["new.txt"], "removed": []
    }  # fmt: skip


@pytest.mark.slow
def test_a_secret_is_read_by_a_step_and_is_nowhere_else(project, docker, tmp_path):
    with (project / "Dockerfile").open("a") as file:
        file.write(
            "RUN --mount=type=secret,id=one --mount=type=secret,id=two "
            "cat /run/secrets/one /run/secrets/two | sha256sum > /app/digest\n"
        )
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    (project / "new").write_text(one[:6])  # what a secret is does not count for the cache
    (tmp_path / "two").write_text(two)
    words = ["build", "--secret", "id=one,env=ONE", "--secret", f"id=two,src={tmp_path / 'two'}", "-v"]
    done = hud(*words, cwd=project, ONE=one)
    assert done.returncode == 0, done.stderr
    image = f"{project.name}:0.1.0"
    seen = [done.stdout, done.stderr, (project / "hud.lock.yaml").read_text()]
    seen += [json.dumps(docker.history(image)), json.dumps(docker.inspect_image(image))]
    assert not any(secret in text for secret in (one, two) for text in seen)
    [digest] = files_of(docker, image, "/app/digest")
    assert digest.split()[0].decode() == hashlib.sha256((one + two).encode()).hexdigest()  # it was there
    assert not any(files_of(docker, image, "/run/secrets"))

    refused = hud(*words, cwd=project, builder="classic", ONE=one)
    assert refused.returncode == 2
    assert "--secret needs BuildKit" in refused.stderr
    assert one not in refused.stderr


def files_of(docker: APIClient, image: str, path: str) -> list[bytes]:
    """Read the files at a path of an image; none where there is no such path."""
    container = docker.create_container(image, ["none"])
    try:
        stream, _ = docker.get_archive(container, path)
    except NotFound:  # newer builders leave no trace of where secrets were
        return []
    else:
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            return [tar.extractfile(member).read() for member in tar if member.isfile()]
    finally:
        docker.remove_container(container, v=True)


# --- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS = {
    "unknown instruction": (
        "FROM {base}\nFOO x\n",
        ["Dockerfile: the build failed", "unknown instruction: FOO", "\nfix: correct"],
    ),
    "a step fails": (
        "FROM {base}\n\n# a comment\nRUN echo the last words && \\\n    exit 7\n",
        ["Dockerfile, line 4: step 2/2 failed: RUN echo the last words", "7", "its last output:\n", "  the last words"],
    ),
    "nothing to copy": ("FROM {base}\nCOPY nope /x\n", ["Dockerfile, line 2: step 2/2 failed: COPY nope /x", "nope"]),
    "empty": ("", ["Dockerfile: the build failed"]),
    "the server ends": (
        'FROM {base}\nCMD ["sh", "-c", "echo the reason >&2; exit 3"]\n',
        ["it ended", "the reason", "\nfix: the command ends instead of serving"],
    ),
    "no server": ('FROM {base}\nCMD ["nope"]\n', ["nope", "\nfix: the image's CMD"]),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "builder"),
    [(fault, builder) for fault in FAULTS for builder in BUILDERS if builder == "buildkit" or "server" not in fault],
)
def test_what_fails_is_said_in_one_message_and_leaves_nothing(project, docker, base_image, builder, fault):
    text, expected = FAULTS[fault]
    (project / "Dockerfile").write_text(text.format(base=base_image))
    done = hud("build", cwd=project, builder=builder)
    assert done.returncode == 1, done.stderr
    error = done.stderr[done.stderr.index("\nerror: ") :]
    assert all(part in error for part in expected), error
    assert "Traceback" not in done.stderr
    assert not (project / "hud.lock.yaml").exists()
    assert not docker.images(project.name)
    assert not [it for it in docker.containers(all=True) if MARK in str(it["Names"])]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 2, "there is no directory 'nowhere'"),
        (["-f", "nope"], 2, "--file: there is no 'nope'"),
        (["-f", "/etc/hostname"], 2, "is outside of"),
        (["-t", "Bad Tag"], 2, "--tag 'Bad Tag' is no name of an image"),
        (["--build-arg", "=x"], 2, "--build-arg takes KEY=VALUE"),
        (["-e", "HUD_TEST_UNSET"], 2, "--env HUD_TEST_UNSET: the variable is not set"),
        (["--secret", "id=a,env=HUD_TEST_UNSET"], 2, "the variable 'HUD_TEST_UNSET' is not set"),
        (["--secret", "id=a,src=/nope"], 2, "there is no file '/nope'"),
        (["--secret", "hunter2"], 2, "--secret takes id=NAME,env=VARIABLE"),
        (["--cache-from", "x"], 2, "unknown option '--cache-from'"),
        (["--bump", "huge"], 2, "--bump"),
    ],
)
def test_arguments_that_cannot_be_right_are_named(tmp_path, words, code, said):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    done = hud("build", *words, cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "hunter2" not in done.stderr


def test_without_an_engine_the_message_says_so(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    done = hud("build", cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 3
    assert "no engine answers at unix:///nowhere.sock" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("builder", BUILDERS)
def test_ctrl_c_ends_the_build_on_the_engine_too(project, docker, base_image, builder):
    sleeper = f"sleep {uuid.uuid4().int % 10**6 + 10**6}"
    (project / "Dockerfile").write_text(f"FROM {base_image}\nRUN echo begun && {sleeper}\n")
    command = [sys.executable, "-m", "hud", "build"]
    process = subprocess.Popen(command, cwd=project, env=environ(builder), stderr=subprocess.PIPE, text=True)
    try:
        assert any(re.match(r"\s+(#\d+ [\d.]+ )?begun$", line) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in said
    end = time.monotonic() + 60
    while (left := subprocess.run(["pgrep", "-f", sleeper], check=False).returncode == 0) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left
    assert not held(docker, f"-{process.pid}-")
    assert not docker.images(project.name)


@pytest.mark.slow
def test_files_that_change_during_the_build_are_noticed(project, docker, base_image):
    # The change comes while the server is looked into: between the two builds.
    (project / "env.py").write_text("import time\ntime.sleep(6)\n" + ENV)
    with subprocess.Popen(
        [sys.executable, "-m", "hud", "build"], cwd=project, env=environ(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert any("looking for its tools" in line for line in process.stderr)
        (project / "env.py").write_text(ENV)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "env.py changed during the build; run it again" in said
    assert not docker.images(project.name)
    assert not (project / "hud.lock.yaml").exists()


def test_an_image_for_another_platform_than_asked_for_is_an_error(project, docker):
    done = hud("build", "--platform", "linux/arm64", cwd=project, builder="classic")
    assert done.returncode == 1
    error = done.stderr[done.stderr.index("\nerror: ") :]  # the engine's or ours: that depends on what is in its cache
    assert "linux/arm64" in error
    assert "linux/amd64" in error
    assert not docker.images(project.name)


@pytest.mark.slow
def test_what_a_killed_build_leaves_goes_with_hud_gc(project, docker):
    (project / "env.py").write_text("import time\ntime.sleep(60)\n" + ENV)
    command = [sys.executable, "-m", "hud", "build"]
    with subprocess.Popen(command, cwd=project, env=environ(), stderr=subprocess.PIPE, text=True) as process:
        assert any("looking for its tools" in line for line in process.stderr)
        owner = f"-{process.pid}-"
        end = time.monotonic() + 60
        while len(held(docker, owner)) < 3 and time.monotonic() < end:  # a heartbeat, an image, a container
            time.sleep(0.1)
        process.kill()
    assert len(held(docker, owner)) >= 3
    swept = hud("gc", cwd=project)
    assert swept.returncode == 0, swept.stderr
    assert not held(docker, owner)


def held(docker: APIClient, owner: str) -> list[str]:
    """Give what an owner has on the engine."""
    volumes = [it["Name"] for it in docker.volumes()["Volumes"] or ()]
    images = [tag for it in docker.images(TEMPORARY) for tag in it["RepoTags"] or ()]
    containers = [it["Labels"].get("org.hud.owner", "") for it in docker.containers(all=True)]
    return [name for name in (*volumes, *images, *(f"{one}-" for one in containers)) if owner in name]


def test_a_value_that_looks_like_a_secret_and_an_env_file_that_is_sent_are_warned_of(project):
    (project / ".env").write_text("A=1\n")
    (project / "Dockerfile").write_text("FOO\n")
    done = hud("build", "--build-arg", "API_KEY=x", cwd=project)
    assert done.returncode == 1
    assert "warning: --build-arg API_KEY: its value can be read in the image's history" in done.stderr
    assert "warning: COPY may put .env" in done.stderr
