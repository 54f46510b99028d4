"""``hud compare``: sides, what cannot be compared, tables, JSON, exit codes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hud.cli.compare import _lines
from hud.cli.console import Ink
from hud.cli.host import run as hud
from hud.cli.sides import find_sides
from hud_core import Cause, Rollout, Status
from hud_core.job.comparison import compare_rewards
from hud_core.job.directory import RUNS, RunDirectory
from hud_core.model.rollout import Fingerprint

Rewards = dict[str, Sequence[float | None]]
Write = Callable[..., Path]


def rollout(task: str, index: int, repeat: int, reward: float | None, agent: str, digest: str) -> Rollout:
    return Rollout(
        id=f"{index}/{agent}/{repeat}", job_id="j", group_id=f"{index}/{agent}", task=task, task_index=index,
        agent=agent, repeat=repeat, started=0.0, seconds=0.0, reward=reward,
        status=Status.INVALID if reward is None else Status.SCORED, cause=Cause.TIMEOUT if reward is None else None,
        fingerprint=Fingerprint(task=f"{task} {digest}", environment="e", grader="g", agent=agent),
    )  # fmt: skip


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a run directory."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, rewards: Rewards | dict[str, Rewards], digest: str = "", change: Any = None) -> Path:
        by_agent = rewards if isinstance(next(iter(rewards.values())), dict) else {"model": rewards}
        agents = [{"name": agent, "variant": {}} for agent in by_agent]
        directory = RunDirectory.create(RUNS / name, {"id": name, "name": "", "agents": agents})
        for agent, tasks in by_agent.items():
            for index, (task, group) in enumerate(tasks.items()):  # type: ignore[union-attr]
                for repeat, reward in enumerate(group):
                    record = rollout(task.partition("#")[0], index, repeat, reward, agent, digest)
                    directory.append_rollout(change(record) if change else record)
        directory.close()
        return directory.path

    return make


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert hud(["compare", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


LOW: Rewards = {f"task-{n}": [float(n < 4)] for n in range(20)}
HIGH: Rewards = {f"task-{n}": [float(n < 14)] for n in range(20)}


def test_two_runs_are_compared(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("before", LOW)
    write("after", HIGH)
    found = compared(capsys, "before", "after")
    assert (found["means"], found["difference"], found["verdict"]) == ([0.2, 0.7], 0.5, "better")
    assert found["mcnemar"] == {"only_first": 0, "only_second": 10, "p_value": pytest.approx(2 / 2**10)}
    assert found["p_value"] == pytest.approx(2 / 2**10)
    low, high = found["interval"]
    assert low < 0.5 < high
    assert (found["first"]["run"], found["second"]["agent"]) == ("before", "model")
    assert found["pairs"][4] == {"task": "task-4", "first": [0.0], "second": [1.0], "difference": 1.0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("before", "after", "--fail-if-worse"), 0),
        (("after", "before", "--fail-if-worse"), 1),
        (("after", "before"), 0),
        (("after", "before", "--fail-if-worse", "--alpha", "0.001"), 0),
        (("before", "after", "--alpha", "1"), 2),
        (("before", "after", "--alpha", "2"), 2),
        (("before", "nonesuch"), 2),
        (("before", "before"), 2),
        (("before",), 2),
    ],
)
def test_exit_codes(write: Write, words: tuple[str, ...], code: int) -> None:
    write("before", LOW)
    write("after", HIGH)
    assert hud(["compare", *words]) == code


def test_what_is_missing_is_told_and_counted(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", {"same": [1.0, 0.0], "gone": [1.0], "failed": [1.0]})
    write("b", {"new": [1.0], "failed": [None], "same": [1.0]})
    found = compared(capsys, "a", "b")
    assert (found["only_first"], found["only_second"], found["unscored"]) == (["gone"], ["new"], ["failed"])
    assert (found["compared"], found["tasks"], found["coverage"]) == (1, 4, 0.25)
    assert found["flaky"] == ["same"]
    assert found["second"]["summary"]["causes"] == {"timeout": 1}
    assert hud(["compare", "a", "b", "--min-coverage", "0.5"]) == 1
    told = capsys.readouterr()
    assert "tasks      1/4 compared; 1 not in B (gone); 1 not in A (new); 1 without a score (failed)" in told.out
    assert "0.250 of the tasks are compared, which is below --min-coverage 0.5" in told.err


def test_nothing_in_common_is_a_failure(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", {"one": [1.0]})
    write("b", {"two": [1.0]})
    assert hud(["compare", "a", "b"]) == 1
    assert "no task has a score on both sides" in capsys.readouterr().err


def test_tasks_that_only_share_a_name_are_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", {"one": [1.0], "two": [1.0]})
    write("b", {"one": [0.0], "two": [0.0]}, digest="other arguments")
    assert hud(["compare", "a", "b"]) == 2
    told = capsys.readouterr().err
    assert "are not the same task on both sides" in told
    assert "--force" in told
    assert compared(capsys, "a", "b", "--force")["difference"] == -1.0


def test_another_environment_or_grader_is_noted(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    def changed(record: Rollout) -> Rollout:
        assert record.fingerprint is not None
        return replace(record, fingerprint=replace(record.fingerprint, grader="better", environment="newer"))

    write("a", {"one": [1.0], "two": [1.0]})
    write("b", {"one": [1.0], "two": [1.0]}, change=changed)
    assert compared(capsys, "a", "b")["notes"] == [
        "2 tasks were run in another version of its environment on the second side",
        "2 tasks were graded otherwise on the second side",
    ]


def test_the_agents_of_one_run_are_compared(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("both", {"old": LOW, "new:8b": HIGH})
    assert compared(capsys, "both")["difference"] == 0.5
    assert compared(capsys, "both:new:8b", "both:old")["difference"] == -0.5
    write("three", {"old": LOW, "new": HIGH, "newest": HIGH})
    for words, problem in (
        (("three",), "there are 'three:old', 'three:new', 'three:newest'"),
        (("three", "both:old"), "which agent of 'three'"),
        (("both:od", "both:old"), "did you mean 'old'"),
    ):
        assert hud(["compare", *words]) == 2
        assert problem in capsys.readouterr().err


def test_variants_are_agents_of_their_own(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    heats = iter([0.0] * 20 + [1.0] * 20)
    write("run", {"a": LOW, "b": HIGH}, change=lambda r: replace(r, agent="m", variant={"heat": next(heats)}))
    assert compared(capsys, "run")["first"]["agent"] == "m heat=0.0"
    assert compared(capsys, "run:m heat=1.0", "run:m heat=0.0")["difference"] == -0.5


def test_tasks_of_one_name_are_told_apart_by_their_order(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", {"twice": [0.0], "twice#2": [1.0]})
    write("b", {"twice": [1.0], "twice#2": [1.0]})
    found = compared(capsys, "a", "b")
    assert [(pair["task"], pair["difference"]) for pair in found["pairs"]] == [("twice", 1.0), ("twice (2)", 0.0)]


@pytest.mark.parametrize("width", [None, 40, 100])
def test_the_report_is_readable(write: Write, width: int | None) -> None:
    write("a", {f"a-task-with-a-rather-long-name-{n}": [float(n < 30), 0.0] for n in range(60)})
    write("b", {f"a-task-with-a-rather-long-name-{n}": [float(n > 20), 1.0] for n in range(60)})
    sides = find_sides("a", "b")
    rewards = [{task: [r.reward for r in group] for task, group in side.tasks().items()} for side in sides]
    found = compare_rewards(*rewards)
    lines = list(_lines(found, sides, [], Ink(io.StringIO()), width, whole=False))
    table = lines[: lines.index("")]
    assert len(table) == 22
    assert width is None or all(len(line) <= width for line in table[:-1])
    assert table[-1].startswith("... ")
    assert any(line.startswith("verdict    B is better, beyond chance") for line in lines)
    assert len(list(_lines(found, sides, [], Ink(io.StringIO()), width, whole=True))) > 60


def test_too_few_tasks_say_so(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", {"one": [0.0], "two": [0.0]})
    write("b", {"one": [1.0], "two": [1.0]})
    assert hud(["compare", "a", "b"]) == 0
    assert "with so few tasks, no difference can be told from chance" in capsys.readouterr().out
    write("c", {"one": [1.0], "two": [0.0]})
    write("d", {"one": [0.0], "two": [1.0]})
    assert hud(["compare", "c", "d"]) == 0
    assert "detectable nothing: even a true difference of 1 stays mostly unseen" in capsys.readouterr().out
    write("e", {"one": [0.0], "two": [9.0]})  # rewards that are not from 0 to 1 may differ by more
    assert hud(["compare", "c", "e"]) == 0
    assert "stays mostly unseen" not in capsys.readouterr().out


def test_the_shell_completes_runs(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("before", LOW)
    for words in (("compare", "be"), ("compare", "last", "be"), ("regrade", "be")):
        assert hud(["__complete", *words]) == 0
        assert capsys.readouterr().out == "before\n"


def test_what_a_reader_should_know_of_a_side_is_noted(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("a", LOW, change=lambda record: replace(record, sees_solution=True))
    write("b", HIGH)
    directory = RunDirectory.reopen(RUNS / "b")
    assert compared(capsys, "a", "b")["notes"] == [
        "A was shown the solutions of the tasks, so it is no contestant",
        "run b is still running",
    ]
    directory.close()


def test_rollouts_that_did_not_begin_are_counted_on_each_side(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("stopped", {"old": LOW, "new": HIGH})
    manifest = json.loads((path / "job.json").read_text("utf-8"))
    (path / "job.json").write_text(json.dumps({**manifest, "total": 60}), "utf-8")
    found = compared(capsys, "stopped")
    assert [found[side]["summary"]["total"] for side in ("first", "second")] == [30, 30]
