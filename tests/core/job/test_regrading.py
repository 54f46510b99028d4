"""Grading stored answers again: what each rollout becomes, and what is left alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import anyio
import pytest

from hud_core import (
    Answer,
    Cause,
    ConfigError,
    Grader,
    Kernel,
    Provider,
    Rollout,
    RunDirectoryError,
    Status,
    StopReason,
    SubScore,
    Timeouts,
    hookimpl,
)
from hud_core.job.directory import RunDirectory, read_events, read_rollouts
from hud_core.job.regrading import open_regraded, plan_regrading, regrade


class Length(Grader):
    needs_session = False

    async def grade(self, answer, session, *, seconds=0.0):
        await anyio.sleep(seconds)
        return SubScore(name="length", value=len(answer.text) / 10)


class Sly(Length):
    async def grade(self, answer, session):
        await session.list_tools()
        return SubScore(name="sly", value=1.0)


class Looks(Length):
    needs_session = True


class Plugin:
    @staticmethod
    @hookimpl
    def hud_graders():
        for name, kind in (("length", Length), ("looks", Looks), ("sly", Sly)):
            yield Provider(name, lambda kind=kind: kind, "a grader")


KERNEL = Kernel(plugins=[Plugin()], autoload=False)


def rollout(name: str, **outcome: object) -> Rollout:
    return Rollout(
        id=f"{name}/agent/0", job_id="old", group_id=f"{name}/agent", task=name, task_index=0, agent="agent",
        started=0.0, seconds=1.0, **outcome,
    )  # fmt: skip


SCORED = rollout(
    "scored", status=Status.SCORED, reward=1.0, answer=Answer(text="abc", stop_reason=StopReason.TRUNCATED)
)
UNGRADED = rollout("ungraded", status=Status.INVALID, cause=Cause.GRADER, phase="grade", answer=Answer(text="abcde"))
CRASHED = rollout("crashed", status=Status.INVALID, cause=Cause.BACKEND, phase="agent", error="gone")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    RunDirectory.create(tmp_path / "old", {"id": "old"}).close()
    return tmp_path / "old"


async def regraded(old: Path, *rollouts: Rollout, name: str = "length", **options: object) -> dict[str, Rollout]:
    rows = [{"name": name, **options}]
    directory = open_regraded(old.parent / "new", old, {"id": "new"}, {"run": "old"})
    plan = [plan_regrading(one, rows, "", KERNEL) for one in rollouts]
    with closing(directory):
        await regrade(plan, KERNEL, directory, timeouts=Timeouts(grade=0.2 if options else 60))
    return {one.task: one for one in read_rollouts(old.parent / "new")}


async def test_answers_are_scored_and_the_rest_stays_as_it_was(old: Path) -> None:
    found = await regraded(old, SCORED, UNGRADED, CRASHED)
    assert [found[name].reward for name in ("scored", "ungraded", "crashed")] == [0.3, 0.5, None]
    assert (found["scored"].stop_reason, found["ungraded"].cause, found["ungraded"].error) == ("truncated", None, None)
    assert (found["crashed"].cause, found["crashed"].error) == (Cause.BACKEND, "gone")
    assert {one.job_id for one in found.values()} == {"new"}


async def test_a_grader_that_takes_too_long_is_a_timeout(old: Path) -> None:
    found = await regraded(old, SCORED, seconds=60)
    assert (found["scored"].reward, found["scored"].cause, found["scored"].phase) == (None, Cause.TIMEOUT, "grade")
    assert "longer than its 0.2 s" in (found["scored"].error or "")
    assert [event["type"] for event in read_events(old.parent / "new")] == ["attempt_failed"]


async def test_a_grader_that_looks_at_the_environment_does_not_run(old: Path) -> None:
    found = await regraded(old, SCORED, CRASHED, name="looks")
    assert (found["scored"].cause, found["crashed"].cause) == (Cause.GRADER, Cause.BACKEND)
    assert "'looks' looks at more than the answer" in (found["scored"].error or "")


async def test_a_grader_that_looks_all_the_same_finds_nothing(old: Path) -> None:
    found = await regraded(old, SCORED, name="sly")
    assert (found["scored"].reward, found["scored"].cause) == (None, Cause.GRADER)
    assert "the environment is gone" in (found["scored"].error or "")


async def test_another_job_is_left_alone(old: Path) -> None:
    await regraded(old, SCORED)
    with pytest.raises(ConfigError, match="holds another job than this regrading"):
        open_regraded(old.parent / "new", old, {"id": "new"}, {"run": "other"})
    with pytest.raises(ConfigError, match="holds another job than this regrading"):
        open_regraded(old, old, {"id": "old"}, {"run": "old"})


async def test_a_directory_that_cannot_be_written_ends_it(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RunDirectoryError("the disk is full")

    monkeypatch.setattr(RunDirectory, "append_rollout", fail)
    with pytest.raises(RunDirectoryError, match="the disk is full"):
        await regraded(old, SCORED, UNGRADED)
