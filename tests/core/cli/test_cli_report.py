"""The report of a job: what it shows of many tasks, and that the mean never stands alone."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hud.cli.console import Ink
from hud.cli.report import LONG, SHOWN, lines
from hud_core import Cause, Job, Rollout, Status

INK = Ink(io.StringIO())


def job(rewards: list[list[float | None]], total: int | None = None) -> Job:
    """Make a job from the rewards of each task; None is a rollout without a score."""
    rollouts = [
        Rollout(
            id=f"task-{index}/agent/{repeat}", job_id="j", group_id=f"task-{index}/agent", task=f"task-{index}",
            task_index=index, agent="agent", repeat=repeat, started=0.0, seconds=0.0, reward=reward,
            status=Status.INVALID if reward is None else Status.SCORED,
            cause=Cause.TIMEOUT if reward is None else None,
            error=f"too late {index}\nmore" if reward is None else None,
        )
        for index, group in enumerate(rewards)
        for repeat, reward in enumerate(group)
    ]  # fmt: skip
    return Job(id="j", name="", rollouts=tuple(rollouts), total=total or len(rollouts), directory=Path("run"))


def text(made: Job, width: int | None = None, *, whole: bool = False) -> str:
    return "\n".join(lines(made, INK, width, whole=whole))


def test_a_small_job_is_told_in_full() -> None:
    assert text(job([[1.0, 0.0], [0.5, None]])) == (
        "task    runs  rewards       mean\n"
        "task-0     2  1 0          0.500\n"
        "task-1   1/2  0.5 timeout  0.500\n"
        "\n"
        "total     4 rollouts of 2 tasks\n"
        "mean      0.500 over 3 scored\n"
        "coverage  3/4 (75.0%), bounds 0.375 to 0.625\n"
        "pass      1/3 with a reward of at least 1\n"
        "pass@1    0.250\n"
        "pass@2    1.000\n"
        "pass^2    0.000\n"
        "invalid   1\n"
        "  timeout 1         task-1: too late 1\n"
        "run       run"
    )


def test_an_interval_is_told_where_there_is_one() -> None:
    made = job([[1.0], [0.0], [1.0], [1.0]])
    assert made.summary().interval == (0.0, 1.0)
    assert "0.750 over 4 scored, 95% interval 0.000 to 1.000" in text(made)


def test_without_a_score_there_is_no_mean() -> None:
    told = text(job([[None]]))
    assert "no mean: the rollout has no score" in told
    assert "0/1 (0%), bounds 0.000 to 1.000" in told
    assert "pass" not in told


def test_what_did_not_begin_is_counted() -> None:
    told = text(job([[1.0], [None]], total=10))
    assert "coverage  1/10 (10.0%), bounds 0.100 to 1.000" in told
    assert "invalid   1, and 8 did not begin" in told


def test_a_long_table_shows_the_worst() -> None:
    rewards: list[list[float | None]] = [[1.0] for _ in range(10_000)]
    rewards[7_777], rewards[5_000], rewards[5_001] = [0.25], [None], [0.5]
    told = text(job(rewards)).splitlines()
    assert told[0] == f"the {SHOWN} worst of 10,000:"
    assert [line.split()[0] for line in told[2:5]] == ["task-5000", "task-7777", "task-5001"]
    assert f"... {10_000 - SHOWN:,} more: hud runs show run" in told
    assert len(told) < 2 * LONG
    assert len(text(job(rewards), whole=True).splitlines()) > 10_000


def test_tasks_without_a_score_leave_room_for_low_scores() -> None:
    told = text(job([[None]] * 50 + [[0.5]] * 50))
    assert told.count("\ntask-") == SHOWN
    assert told.count("0.500\ntask") > 5


@given(
    st.lists(st.lists(st.none() | st.floats(-2, 2), min_size=1, max_size=12), min_size=1, max_size=60),
    st.integers(40, 120),
)
def test_any_job_can_be_told(rewards: list[list[float | None]], width: int) -> None:
    made = job(rewards)
    told = text(made, width)
    assert f"coverage  {made.summary().scored:,}/{made.total:,}" in told
    assert told.count("\ntask-") <= LONG
    table = told.split("\n\n", maxsplit=1)[0].splitlines()
    assert all(len(line) <= width for line in table if not line.startswith("..."))
    assert ("100%" in told) == (made.coverage == 1)
