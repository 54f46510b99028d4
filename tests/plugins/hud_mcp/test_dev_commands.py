"""``hud scenario`` and ``hud analyze``, against a running ``hud dev``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts servers as processes of their own

ENV = """
    from hud import Environment

    print("imported")
    env = Environment("letters")

    @env.tool
    def count_letter(text: str, letter: str = "r") -> int:
        \"\"\"Count a letter.\"\"\"
        return text.count(letter)

    @env.scenario()
    async def count(text: str, times: int = 1):
        \"\"\"Ask to count.\"\"\"
        answer = yield f"How many r in {text * times}?"
        yield answer == str((text * times).count("r"))

    @env.scenario()
    async def broken():
        yield "?"
        raise ValueError("the grader broke")

    @env.resource("letters://rules")
    def rules() -> str:
        return "Count every letter."

    @env.resource("letters://words/{word}", mime_type="text/plain")
    def word(word: str) -> str:
        return word

    @env.prompt
    def spell(word: str, slowly: bool = False) -> str:
        \"\"\"Spell a word.\"\"\"
        return f"Spell {word}"

    @env.initialize
    def start():
        with open("initialised.txt", "a") as file:
            file.write("once\\n")
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environ(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HUD_")}, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "env.py").write_text(textwrap.dedent(ENV), "utf-8")
    return folder


def serve(folder: Path, **variables: str) -> Iterator[str]:
    command = [sys.executable, "-m", "hud", "dev", "env:env", "-p", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, env=environ(**variables), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    yield from serve(folder)


@pytest.fixture
def hud(folder: Path) -> Run:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hud", *words],
            cwd=folder,
            env=environ(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


# --- scenario ---------------------------------------------------------------------------------------------------------


def test_scenarios_are_listed(hud: Run, url: str) -> None:
    done = hud("scenario", "list", "-u", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "letters:count(text, times?)\nletters:broken()\n"
    listed = json.loads(hud("scenario", "list", "-u", url, "--json").stdout)
    assert listed[0]["description"] == "Ask to count."


def test_set_up_and_graded_by_two_processes(hud: Run, url: str, folder: Path) -> None:
    done = hud("scenario", "setup", "count", "-a", '{"text": "strawberry", "times": 2}', "-u", url)
    assert done.returncode == 0
    assert done.stderr.startswith(f"the address for an agent, until it is graded: {url}/episode/")
    assert done.stdout == "How many r in strawberrystrawberry?\n"
    done = hud("scenario", "grade", "-A", "6")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reward"] == 1.0
    done = hud("scenario", "grade", "-A", "6")
    assert done.returncode == 2
    assert "no scenario was set up" in done.stderr


def test_an_agent_is_given_the_address_of_what_was_set_up(hud: Run, url: str) -> None:
    done = hud("scenario", "setup", "count", "-a", '{"text": "strawberry"}', "-u", url, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["scenario"], found["prompt"]) == ("letters:count", "How many r in strawberry?")
    offered = json.loads(hud("analyze", found["address"], "--format", "json").stdout)
    assert [tool["name"] for tool in offered["tools"]] == ["count_letter"]
    assert offered["scenarios"] == []
    hud("scenario", "grade", "-A", "3")
    done = hud("analyze", found["address"])
    assert done.returncode != 0
    assert "has ended" in done.stderr


def test_run_does_both(hud: Run, url: str) -> None:
    done = hud("scenario", "run", "letters:count", "-a", '{"text": "moon"}', "-A", "1", "-u", url)
    assert done.returncode == 0
    assert json.loads(done.stdout)["reward"] == 0.0
    assert done.stderr == "How many r in moon?\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["setup", "cuont"], 2, "did you mean"),
        (["setup", "count", "-a", "[1]"], 2, "--args must be a JSON object"),
        (["setup", "count", "-a", "{"], 2, "--args must be a JSON object, as in"),
        (["setup", "count", "-a", '{"text": "a", "times": "b"}'], 5, "times"),
        (["run", "broken"], 5, "the grader broke"),
    ],
)
def test_what_a_scenario_cannot(hud: Run, url: str, words: list[str], code: int, says: str) -> None:
    done = hud("scenario", *words, "-u", url)
    assert says in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert done.stdout == ""


def test_no_server(hud: Run) -> None:
    done = hud("scenario", "list", "-u", "http://127.0.0.1:9/mcp")
    assert done.returncode == 3
    assert "http://127.0.0.1:9/mcp" in done.stderr
    assert done.stderr.endswith("; does `hud dev` run there?\n")


def test_a_capability_is_presented(hud: Run, folder: Path) -> None:
    for url in serve(folder, HUD_MCP_HARNESS="secret"):
        assert hud("scenario", "list", "-u", url).stdout == "no scenarios\n"
        done = hud("scenario", "run", "count", "-a", '{"text": "r"}', "-A", "1", "-u", url, HUD_MCP_HARNESS="secret")
        assert json.loads(done.stdout)["reward"] == 1.0


# --- analyze ----------------------------------------------------------------------------------------------------------


def test_a_module_and_its_server_look_alike(hud: Run, url: str, folder: Path) -> None:
    (folder / "initialised.txt").unlink(missing_ok=True)
    module = hud("analyze", "env:env", "--format", "json")
    assert not (folder / "initialised.txt").exists(), "looking at an environment starts nothing"
    server = hud("analyze", url, "--format", "json")
    assert (module.returncode, module.stderr) == (0, "imported\n")
    assert (server.returncode, server.stderr) == (0, "")
    one, other = json.loads(module.stdout), json.loads(server.stdout)
    assert one.pop("source") == "env:env"
    assert other.pop("source") == url
    assert one == other
    assert [tool["name"] for tool in one["tools"]] == ["count_letter"]
    assert one["scenarios"][0] == {
        "name": "letters:count",
        "description": "Ask to count.",
        "arguments": [
            {"name": "text", "required": True, "type": "string"},
            {"name": "times", "required": False, "default": 1, "type": "integer"},
        ],
    }
    assert one["prompts"] == [
        {
            "name": "spell",
            "description": "Spell a word.",
            "arguments": [{"name": "word", "required": True}, {"name": "slowly", "required": False}],
        }
    ]
    assert one["resources"] == [{"uri": "letters://rules", "name": "rules", "description": "", "mimeType": None}]
    assert one["templates"] == [
        {"uri": "letters://words/{word}", "name": "word", "description": "", "mimeType": "text/plain"}
    ]


HIDDEN = """
    from hud import Environment
    from hud.server.router import HiddenRouter, MCPRouter

    sums, env, names = MCPRouter("sums"), Environment("routed"), []

    @sums.tool
    def add(a: int, b: int) -> int:
        return a + b

    @env.tool
    def ask(name: str) -> str:
        return name

    @env.resource("ask://functions")
    def known() -> list[str]:
        return [names[0]]

    @env.initialize
    def start():
        names.append("whom")

    env.include_router(HiddenRouter(sums))
"""


def test_what_a_router_hides_is_named_for_a_module_as_for_its_server(hud: Run, folder: Path) -> None:
    (folder / "hidden.py").write_text(textwrap.dedent(HIDDEN), "utf-8")
    stdio = {"command": sys.executable, "args": ["-m", "hud", "dev", "hidden:env", "--stdio"], "cwd": str(folder)}
    (folder / "hidden.json").write_text(json.dumps({"hidden": stdio}), "utf-8")
    module = json.loads(hud("analyze", "hidden:env", "--format", "json").stdout)
    (server,) = json.loads(hud("analyze", "-c", "hidden.json", "--format", "json").stdout)["servers"]
    assert [tool.pop("internalTools", None) for tool in module["tools"]] == [None, ["add"]], "ask is not initialised"
    assert [tool.pop("internalTools", None) for tool in server["tools"]] == [["whom"], ["add"]]
    assert module["tools"] == server["tools"]


def test_for_people_and_for_pages(hud: Run) -> None:
    text = hud("analyze").stdout
    assert "  count_letter(text, letter?)  Count a letter.\n" in text
    page = hud("analyze", "env", "--format", "markdown", "-v").stdout
    assert page.startswith("# letters\n\n## Tools\n\n- `count_letter(text, letter?)`: Count a letter.\n  ```json\n")


def test_a_clients_configuration(hud: Run, url: str, folder: Path) -> None:
    stdio = {"command": sys.executable, "args": ["-m", "hud", "dev", "env:env", "--stdio"], "cwd": str(folder)}
    servers = {"http": {"url": url}, "process": stdio, "gone": {"url": "http://127.0.0.1:9/mcp"}}
    (folder / "config.json").write_text(json.dumps({"mcpServers": servers}), "utf-8")
    done = hud("analyze", "-c", "config.json", "--format", "json")
    assert done.returncode == 3
    one, other, gone = json.loads(done.stdout)["servers"]
    assert one["tools"] == other["tools"]
    assert len(one["tools"]) == 1
    assert gone["name"] == "gone"
    assert "127.0.0.1:9" in gone["error"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nix"], 2, "no module 'nix'"),
        (["env", "-c", "x.json"], 2, "not both"),
        (["-c", "x.json"], 2, "cannot read x.json"),
        (["http://127.0.0.1:9/mcp"], 3, "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_analysed(hud: Run, words: list[str], code: int, says: str) -> None:
    done = hud("analyze", *words, "--format", "json")
    assert done.returncode == code
    assert says in done.stderr
    assert done.stdout == ""


# --- eval -------------------------------------------------------------------------------------------------------------


def test_environments_behind_a_url_and_a_command_are_evaluated(url: str, folder: Path, tmp_path: Path) -> None:
    started = {"command": sys.executable, "args": ["-m", "hud", "dev", "env:env", "--stdio"], "cwd": str(folder)}
    rows = [
        {
            "slug": slug,
            "env": {"name": "letters", "backend": "mcp", "options": options},
            "scenario": "count",
            "args": {"text": "strawberry", "times": 2},
            "validation": [{"name": "count_letter", "arguments": {"text": "strawberry"}}],
            "answer": answer,
        }
        for slug, options, answer in (
            ("by-url", {"url": url}, "6"),
            ("by-command", started, "6"),
            ("wrong", started, "3"),
            ("gone", {"url": "http://127.0.0.1:9/mcp"}, "6"),
        )
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(rows), "utf-8")
    command = [sys.executable, "-m", "hud", "eval", "tasks.json", "oracle", "--all", "-y", "--json"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    rollouts = json.loads(done.stdout)["rollouts"]
    rewards = {rollout["task"]: rollout["reward"] for rollout in rollouts}
    assert rewards == {"by-url": 1.0, "by-command": 1.0, "wrong": 0.0, "gone": None}, done.stdout + done.stderr
    assert "http://127.0.0.1:9/mcp" in rollouts[-1]["error"]
