"""``hud runs``, ``hud trace``, and the small commands."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Hud = Callable[..., "subprocess.CompletedProcess[str]"]

TALKATIVE = '''
from __future__ import annotations

from hud import Environment
from hud.tools.types import EvaluationResult, SubScore
from hud_core import ImageContent, TextContent

env = Environment("talkative")


@env.tool
def look(path: str) -> list[TextContent | ImageContent]:
    """Look at a file."""
    if path == "gone":
        raise RuntimeError("there is no such file")
    return [TextContent(text="two lines\\nof text \\x1b[2J"), ImageContent(data="aGVsbG8=")]


@env.scenario("look")
async def looking(path: str):
    yield f"Look at {path}"
    yield EvaluationResult.from_subscores([SubScore(name="found", value=1.0), SubScore(name="quick", value=0.5)])


tasks = [looking.task(path=path) for path in ("here", "gone")]
for task in tasks:
    task.slug = task.args["path"]
    task.validation = [{"name": "look", "arguments": {"path": task.args["path"]}}]
    task.answer = "a file"
'''


@pytest.fixture
def talkative(tmp_path: Path, hud: Hud) -> Path:
    (tmp_path / "tasks.py").write_text(TALKATIVE, "utf-8")
    done = hud("eval", "tasks.py", "oracle", "--full", "--group-size", "2")
    assert done.returncode == 0, done.stderr
    return tmp_path


# --- hud runs ---------------------------------------------------------------------------------------------------------


def test_runs_are_listed(folder: Path, hud: Hud) -> None:
    assert "no runs" in hud("runs").stderr
    hud("eval", "tasks.py", "oracle", "--full", "--name", "first job")
    hud("eval", "tasks.py", "nop")
    (newest, oldest) = json.loads(hud("runs", "--json").stdout)
    assert (newest["agents"], oldest["agents"], oldest["name"]) == (["nop"], ["oracle"], "first job")
    assert (oldest["state"], oldest["total"], oldest["summary"]["mean"]) == ("complete", 3, 1.0)
    listed = hud("runs", "list").stdout
    assert listed.index(newest["id"]) < listed.index("first job")
    assert hud("runs", "list", "--json").stdout == hud("runs", "--json").stdout


def test_a_damaged_run_hides_no_other(folder: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "oracle")
    damaged = folder / ".hud" / "runs" / "0"
    damaged.mkdir()
    (damaged / "job.json").write_text("{", "utf-8")
    done = hud("runs")
    assert (done.returncode, "oracle" in done.stdout, "is damaged" in done.stderr) == (0, True, True)


def test_a_run_is_shown_as_it_was_reported(folder: Path, hud: Hud) -> None:
    first = hud("eval", "tasks.py", "oracle", "--full")
    assert hud("runs", "show", "last").stdout == first.stdout
    second = hud("eval", "tasks.py", "oracle", "--full", "--json")
    name = json.loads(second.stdout)["job"]
    assert json.loads(hud("runs", "show", name, "--json").stdout) == json.loads(second.stdout)


def test_every_task_of_a_long_run_is_shown(folder: Path, hud: Hud) -> None:
    (folder / "tasks.py").write_text(
        (folder / "tasks.py").read_text("utf-8").replace("range(3)", "range(100)"), "utf-8"
    )
    short = hud("eval", "tasks.py", "oracle", "--full")
    assert "... 80 more: hud runs show" in short.stdout
    assert hud("runs", "show", "last").stdout.count("twice-") == 100


def test_runs_are_exported(talkative: Path, hud: Hud) -> None:
    rows = list(csv.DictReader(io.StringIO(hud("runs", "export", "last", "--format", "csv").stdout)))
    assert [(row["task"], row["repeat"], row["status"], row["cause"]) for row in rows] == [
        ("here", "0", "scored", ""), ("here", "1", "scored", ""),
        ("gone", "0", "invalid", "agent"), ("gone", "1", "invalid", "agent"),
    ]  # fmt: skip
    done = hud("runs", "export", "last", "--format", "json", "-o", "out.json")
    assert done.stdout == ""
    assert [rollout["reward"] for rollout in json.loads((talkative / "out.json").read_text("utf-8"))] == [
        0.75,
        0.75,
        None,
        None,
    ]
    unwritable = hud("runs", "export", "last", "--format", "json", "-o", "no/such/folder.json")
    assert (unwritable.returncode, "No such file or directory: no/such/folder.json" in unwritable.stderr) == (1, True)


# --- hud trace --------------------------------------------------------------------------------------------------------


def test_a_rollout_is_a_readable_conversation(talkative: Path, hud: Hud) -> None:
    text = hud("trace", "last", "here").stdout
    parts = [
        "user\n  Look at here",
        "tool call\n  look(path='here')",
        "tool result look\n  two lines\n  of text",
        "answer\n  a file",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "grade\n  reward 0.750\n  found: 1, weight 1\n  quick: 0.5, weight 1" in text
    assert "\x1b" not in text
    image = next(line for line in text.splitlines() if ".hud/runs/" in line).strip(" []")
    assert (talkative / image).read_bytes() == b"hello"


def test_an_error_is_told(talkative: Path, hud: Hud) -> None:
    text = hud("trace", "last", "gone").stdout
    assert "tool error look\n  " in text
    assert "failed agent, in phase agent" in text
    assert text.count("there is no such file") >= 2
    assert text.rstrip().splitlines()[-1].startswith("invalid (agent, phase agent)")


def test_a_task_is_found_by_slug_place_and_rollout(talkative: Path, hud: Hud) -> None:
    ids = [
        json.loads(hud("trace", "last", *words, "--json").stdout)["rollout"]["id"]
        for words in (["here"], ["0"], ["here/oracle/1"], ["here", "--repeat", "1"])
    ]
    assert ids == ["here/oracle/0", "here/oracle/0", "here/oracle/1", "here/oracle/1"]
    missing = hud("trace", "last", "hre")
    assert (missing.returncode, "did you mean 'here'?" in missing.stderr) == (2, True)
    repeat = hud("trace", "last", "here", "--repeat", "5")
    assert (repeat.returncode, "there are 0, 1" in repeat.stderr) == (2, True)


def test_several_agents_are_told_apart(talkative: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "scripted", "--variant", "answer=a,b")
    done = hud("trace", "last", "here")
    assert done.returncode == 2
    assert "2 rollouts match 'here'; name one of them by its id:" in done.stderr
    name = done.stderr.splitlines()[-1].strip()
    assert hud("trace", "last", name).returncode == 0


# --- small commands ---------------------------------------------------------------------------------------------------


def test_hud_alone_is_its_help(hud: Hud) -> None:
    alone = hud()
    assert alone.returncode == 0
    assert alone.stdout == hud("--help").stdout == hud("help").stdout
    assert "quick start:" in alone.stdout
    assert hud("help", "eval").stdout == hud("eval", "--help").stdout


def test_the_installed_script_is_the_module(hud: Hud) -> None:
    script = shutil.which("hud", path=str(Path(sys.executable).parent))
    assert script is not None
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == hud("version").stdout == hud("--version").stdout
    assert json.loads(hud("version", "--json").stdout)["plugins"]["hud-local"]


def test_a_command_that_is_not_there_names_the_closest_or_what_to_install(hud: Hud) -> None:
    wrong = hud("evla")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'eval'?" in wrong.stderr
    assert "pip install hud-platform" in hud("deploy").stderr


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from hud.cli import main; assert main(['--help']) == 0; "
        "print(*sorted({'asyncio', 'attr', 'anyio', 'rich', 'msgspec', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("`hud COMMAND --help` explains a command.\n\n"), done.stdout


def test_plugins_are_listed_with_what_they_provide(hud: Hud) -> None:
    done = hud("plugins", "--json")
    assert done.returncode == 0
    plugins = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert {"oracle", "nop"} <= set(plugins["hud-local"]["provides"]["agents"])
    assert "eval" in plugins["hud-core"]["provides"]["commands"]
    assert "hud-local" in hud("plugins").stdout


def test_broken_plugins_are_shown_and_the_others_work(folder: Path, hud: Hud) -> None:
    site = folder / "site"
    for name, text in {
        "import": "import nowhere_at_all\n",
        "hook": "from hud_core import hookimpl\n@hookimpl\ndef hud_agent(): ...\n",
    }.items():
        info = site / f"hud_broken_{name}-2.5.dist-info"
        info.mkdir(parents=True)
        (site / f"broken_{name}.py").write_text(text, "utf-8")
        (info / "METADATA").write_text(f"Name: hud-broken-{name}\nVersion: 2.5\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[hud]\nbroken_{name} = broken_{name}\n", "utf-8")
    env = {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))}
    for more in ({}, {"HUD_STRICT_PLUGINS": "1"}):
        done = hud("plugins", env={**env, **more})
        assert done.returncode == 1
        assert "broken hud-broken-import 2.5\n  cannot be imported: ModuleNotFoundError" in done.stdout
        assert "did you mean 'hud_agents'?" in done.stdout
    worked = hud("eval", "tasks.py", "oracle", env=env)
    assert (worked.returncode, "2 plugin problem(s)" in worked.stderr) == (0, True)
    strict = hud("eval", "tasks.py", "oracle", env={**env, "HUD_STRICT_PLUGINS": "1"})
    assert (strict.returncode, "hud-broken-hook 2.5" in strict.stderr) == (2, True)


# --- completion -------------------------------------------------------------------------------------------------------


def with_hud() -> str:
    """Give a PATH on which the command is."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def complete_in_bash(folder: Path, hud: Hud, line: str) -> list[str]:
    """Ask a real bash, which runs the script that ``hud completion bash`` prints."""
    script = hud("completion", "bash").stdout
    words = line.split(" ")
    ask = f"COMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}; _hud_complete"
    done = subprocess.run(
        ["bash", "--norc", "-euc", f'{script}\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=folder, env={**os.environ, "PATH": with_hud()}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_bash_completes(folder: Path, hud: Hud) -> None:
    assert complete_in_bash(folder, hud, "hud ev") == ["eval"]
    assert complete_in_bash(folder, hud, "hud eval --max-co") == ["--max-concurrent", "--max-cost"]
    assert complete_in_bash(folder, hud, "hud eval ta") == []
    assert complete_in_bash(folder, hud, "hud eval --group-size 2 tasks.py or") == ["oracle"]
    assert complete_in_bash(folder, hud, "hud runs s") == ["show"]
    assert complete_in_bash(folder, hud, "hud runs export last --format ") == ["csv", "json"]
    hud("eval", "tasks.py", "oracle", "--out", ".hud/runs/2026-mine")
    assert complete_in_bash(folder, hud, "hud trace 2026") == ["2026-mine"]
    assert complete_in_bash(folder, hud, "hud nothing ") == []


LINES = {
    "hud ev": "hud eval ",
    "hud eval --max": "hud eval --max-",
    "hud eval ta": "hud eval tasks.py ",
    "hud eval --group-size 2 tasks.py or": "hud eval --group-size 2 tasks.py oracle ",
    "hud runs s": "hud runs show ",
}
"""What is typed, and what it is after the tab key."""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed here")
def test_zsh_completes(folder: Path, hud: Hud) -> None:
    """In a terminal, since zsh completes nowhere else; a key of our own writes down what stands in the line."""
    (folder / "complete.zsh").write_text(hud("completion", "zsh").stdout, "utf-8")
    setup = (
        "autoload -Uz compinit; compinit -u -D; source complete.zsh; bindkey '^I' expand-or-complete",
        "note() { print -r -- \"$BUFFER\" >> lines }; zle -N note; bindkey '^Xn' note; note",
    )
    master, slave = os.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=folder, start_new_session=True,
        env={**os.environ, "PATH": with_hud(), "TERM": "xterm", "HOME": str(folder)},
    )  # fmt: skip
    os.close(slave)
    try:
        noted_in_zsh(master, "".join(f"{line}\n" for line in setup), folder / "lines")
        seen = [noted_in_zsh(master, f"{line}\t\x18n\x15", folder / "lines") for line in LINES]
    finally:
        shell.kill()
        shell.wait()
        os.close(master)
    assert seen == list(LINES.values())


def noted_in_zsh(terminal: int, keys: str, lines: Path) -> str:
    """Type something, and give the line that it has noted."""
    before = len(lines.read_text("utf-8").splitlines()) if lines.exists() else 0
    os.write(terminal, keys.encode())
    deadline = time.monotonic() + 60
    while not lines.exists() or len(seen := lines.read_text("utf-8").splitlines()) == before:
        assert time.monotonic() < deadline, f"nothing came of {keys!r}"
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 1 << 16)
    return seen[-1]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed here")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hud ev", ["eval"]),
        ("hud eval --max-co", ["--max-concurrent", "--max-cost"]),
        ("hud eval ta", ["tasks.py"]),
        ("hud eval --group-size 2 tasks.py or", ["oracle"]),
        ("hud runs export last --format ", ["csv", "json"]),
    ],
)
def test_fish_completes(folder: Path, hud: Hud, line: str, found: list[str]) -> None:
    (folder / "complete.fish").write_text(hud("completion", "fish").stdout, "utf-8")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source complete.fish; complete -C '{line}'"],
        cwd=folder, env={**os.environ, "PATH": with_hud(), "HOME": str(folder)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == found
