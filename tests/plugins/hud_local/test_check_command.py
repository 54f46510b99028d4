"""``hud check``, run as the `hud` command runs it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hud_core.errors import ConfigError
from hud_core.kernel import Kernel

if TYPE_CHECKING:
    from conftest import Write

LETTER_COUNTER = Path(__file__).parents[3] / "docs" / "tutorial" / "letter_counter"
TASKS = """
    from hud_core.environment.environment import Environment

    env = Environment("judged")

    @env.scenario()
    async def ask(right: str = "3", empty: float = 0.0):
        answer = yield "?"
        if not answer and empty < 0:
            raise ValueError("nothing to grade")
        yield empty if not answer else float(answer == right)

    fine = ask.task()
    wrong = ask.task(right="4")
    free = ask.task(empty=1.0)
    cheap = ask.task(empty=0.25)
    fussy = ask.task(empty=-1.0)
    bare = ask.task()
    tasks = [fine, wrong, free, cheap, fussy, bare]
    for task, slug in zip(tasks, ["fine", "wrong", "free", "cheap", "fussy"]):
        task.slug = slug
        task.answer = "3"
"""


@pytest.fixture
def hud_check(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command with a kernel that has hud-local alone, away from the sources."""
    monkeypatch.chdir(tmp_path)
    command = kernel.commands["check"]

    def run(*arguments: str) -> int:
        parser = argparse.ArgumentParser(prog="hud check")
        command.configure(parser)
        return command.run(parser.parse_args(arguments, argparse.Namespace(kernel=kernel)))

    return run


def test_the_tutorials_tasks_are_fit(hud_check: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert hud_check(str(LETTER_COUNTER)) == 0
    assert capsys.readouterr().out == "3 tasks: each is solved by its own solution, none by doing nothing\n"
    assert list(tmp_path.iterdir()) == []


def test_tasks_that_are_not_fit_are_reported(hud_check: Any, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert hud_check(str(write("tasks.py", TASKS)), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    found = {
        task["task"]: (task["oracle"], task["nop"], task["problems"], task["warnings"]) for task in report["tasks"]
    }
    assert found["fine"] == (1.0, 0.0, [], [])
    assert found["wrong"] == (0.0, 0.0, ["unsolvable: its own solution earns 0, not 1"], [])
    assert found["free"] == (1.0, 1.0, ["solved by doing nothing"], [])
    assert found["cheap"] == (1.0, 0.25, [], ["doing nothing earns 0.25"])
    assert found["fussy"][:2] == (1.0, None)
    assert found["fussy"][2][0].startswith("an empty answer cannot be graded: grader: ")
    bare = found["ask(right='3', empty=0.0)"]
    assert bare[0] is None
    assert "unsolvable: agent: the task has no solution to replay" in bare[2][0]
    assert bare[3] == ["no slug, so it cannot be synced or picked by name"]


def test_the_report_has_a_line_for_each_finding(
    hud_check: Any, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TASKS.replace('"nothing to grade"', "'nothing\\nto \\x1b[31mgrade'")
    assert hud_check(str(write("tasks.py", text))) == 1
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["task", "oracle", "nop", "finding"]
    assert [line.split()[:2] for line in lines] == [
        ["✗", "wrong"], ["✗", "free"], ["!", "cheap"], ["✗", "fussy"], ["✗", "ask(right='3',"], ["!", "ask(right='3',"],
    ]  # fmt: skip
    assert "nothing to \ufffd[31mgrade" in lines[3]
    assert last == "4 of 6 tasks are not fit to measure anything"


@pytest.mark.parametrize("ids", ["fine", "0", "cheap, fine"])
def test_some_tasks_only(hud_check: Any, write: Write, capsys: pytest.CaptureFixture[str], ids: str) -> None:
    assert hud_check(str(write("tasks.py", TASKS)), "--task-ids", ids, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["tasks"]) == len(ids.split(","))


def test_mistakes_of_the_file_are_listed(hud_check: Any, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("tasks.jsonl", '{"slug": "a"}\n{"slug": "a", "args2": {}}\n{"slug": "a"}\n')
    assert hud_check(str(path)) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("unknown field 'args2' @ tasks[1]; did you mean 'args'? (tasks.jsonl:2)")
    assert out[1].startswith("slug 'a' is that of tasks[0]")
    assert out[2] == "2 mistakes; nothing was run"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nix.py"], "no such file: nix.py"), (["tasks.py", "--task-ids", "fien"], "did you mean 'fine'?")],
)
def test_nothing_to_check(hud_check: Any, write: Write, arguments: list[str], says: str) -> None:
    write("tasks.py", TASKS)
    with pytest.raises(ConfigError) as caught:
        hud_check(*arguments)
    assert says in str(caught.value)


def test_what_tasks_print_is_not_part_of_the_report(
    hud_check: Any, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("tasks.py", TASKS.replace("env =", "print('hello')\n    env ="))
    hud_check(str(path), "--json")
    captured = capsys.readouterr()
    assert json.loads(captured.out)
    assert captured.err == "hello\n"


def test_rollouts_are_kept_when_asked(hud_check: Any, tmp_path: Path) -> None:
    assert hud_check(str(LETTER_COUNTER), "--out", "kept") == 0
    assert (tmp_path / "kept").is_dir()
