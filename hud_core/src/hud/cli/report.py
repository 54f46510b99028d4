"""A job's result as people read it: a table of tasks, then the aggregates with what they leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud.cli.console import first_line, plain
from hud.cli.records import by_agent, contestant, run_name
from hud.cli.table import cut, render
from hud_core.job.result import summary_of
from hud_core.metering.budget import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud.cli.console import Ink
    from hud_core.job import Group, Job, Summary
    from hud_core.model.rollout import Rollout, Usage

LONG = 40
"""Rows from which on a table is shortened,"""
SHOWN = 20
"""to this many: half of it for tasks without a score, the rest for the lowest ones."""
REWARDS = 8
"""Rewards of one row."""


def lines(job: Job, ink: Ink, width: int | None, *, whole: bool = False) -> Iterator[str]:
    """Give the report, line by line.

    Args:
        job: The job.
        ink: Colours.
        width: Characters that fit on a line.
        whole: Whether to print every row of a long table.
    """
    yield from _table(job, ink, width, whole=whole)
    yield ""
    contestants = by_agent(job.rollouts)
    if len(contestants) > 1:
        for members in contestants:
            yield f"{ink.bold(contestant(members[0]))}: {_mean(summary_of(members))}"
        yield ""
    for label, text in _facts(job):
        yield f"{label:<9} {text}".rstrip()
    if job.usage.calls:
        yield f"{'spent':<9} {spent(job.usage)}"
    yield from _failures(job, ink, width)
    if job.directory is not None:
        yield f"{'run':<9} {job.directory}"


# --- the table --------------------------------------------------------------------------------------------------------


def _table(job: Job, ink: Ink, width: int | None, *, whole: bool) -> Iterator[str]:
    groups = job.groups()
    names = [contestant(group.rollouts[0]) for group in groups]
    shown = list(range(len(groups)))
    if len(groups) > LONG and not whole:
        shown = _worst(groups)
        yield ink.dim(f"the {SHOWN} worst of {len(groups):,}:")
    several = len(set(names)) > 1
    header = ["task", *(["agent"] if several else []), "runs", "rewards", "mean"]
    rows = [[groups[i].task, *([names[i]] if several else []), *_scores(groups[i])] for i in shown]
    if rows:
        yield from render(header, rows, ink=ink, width=width, right="llrlr" if several else "lrlr")
    if len(shown) < len(groups):
        hidden = f"... {len(groups) - len(shown):,} more"
        yield ink.dim(f"{hidden}: hud runs show {run_name(job.directory)}" if job.directory else hidden)


def _worst(groups: list[Group]) -> list[int]:
    """Choose rows that say most: rollouts without a score often fail alike, so they get no more than half."""
    lowest = sorted(range(len(groups)), key=lambda place: (groups[place].mean is not None, groups[place].mean or 0.0))
    broken = [place for place in lowest if len(groups[place].scored) < len(groups[place].rollouts)]
    scored = [place for place in lowest if len(groups[place].scored) == len(groups[place].rollouts)]
    first = broken[: max(SHOWN // 2, SHOWN - len(scored))]
    return [*first, *scored[: SHOWN - len(first)]]


def _scores(group: Group) -> list[str]:
    scored, runs = len(group.scored), len(group.rollouts)
    rewards = [_outcome(rollout) for rollout in group.rollouts]
    more = [f"… {len(rewards) - REWARDS:,} more"] if len(rewards) > REWARDS else []
    return [
        f"{runs}" if scored == runs else f"{scored}/{runs}",
        " ".join([*rewards[:REWARDS], *more]),
        "-" if group.mean is None else f"{group.mean:.3f}",
    ]


def _outcome(rollout: Rollout) -> str:
    if rollout.reward is not None:
        return f"{rollout.reward:.3g}"
    return str(rollout.cause or "invalid")


# --- the aggregates ---------------------------------------------------------------------------------------------------


def _mean(summary: Summary) -> str:
    if summary.mean is None:
        missing = "the rollout has no" if summary.total == 1 else f"none of {summary.total:,} rollouts has a"
        return f"no mean: {missing} score"
    interval = f", 95% interval {_range(*summary.interval)}" if summary.interval else ""
    return f"{summary.mean:.3f} over {summary.scored:,} scored{interval}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _facts(job: Job) -> Iterator[tuple[str, str]]:
    summary = job.summary()
    tasks = len({rollout.task_index for rollout in job.rollouts})
    yield "total", f"{_counted(summary.total, 'rollout')} of {_counted(tasks, 'task')}"
    yield "mean", _mean(summary)
    bounds = (
        "" if summary.lower is None or summary.upper is None else f", bounds {_range(summary.lower, summary.upper)}"
    )
    yield "coverage", f"{summary.scored:,}/{summary.total:,} ({_percent(summary.coverage)}){bounds}"
    if summary.scored:
        yield "pass", f"{summary.passed:,}/{summary.scored:,} with a reward of at least 1"
    yield from _passes(job)


def spent(usage: Usage) -> str:
    """Say what was spent on models."""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    cost = "cost unknown" if usage.cost is None else dollars(usage.cost)
    calls = _counted(usage.calls, "model call")
    return f"{cost} for {calls}: {usage.input_tokens:,}{cached} tokens in, {usage.output_tokens:,} out"


def _percent(share: float) -> str:
    """Say a share; 100% only where nothing is missing."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(share * 100, 0.1), 99.9):.1f}%"


def _passes(job: Job) -> Iterator[tuple[str, str]]:
    size = max((len(group.rollouts) for group in job.groups()), default=1)
    if size > 1 and len(by_agent(job.rollouts)) == 1:
        for k in sorted({1, size}):
            if (chance := job.pass_at_k(k)) is not None:
                yield f"pass@{k}", f"{chance:.3f}"
        if (chance := job.pass_hat_k(size)) is not None:
            yield f"pass^{size}", f"{chance:.3f}"


def _failures(job: Job, ink: Ink, width: int | None) -> Iterator[str]:
    """Give each cause with its count, and the first message that came with it."""
    first: dict[str, Rollout] = {}
    for rollout in job.rollouts:
        if rollout.cause is not None:
            first.setdefault(rollout.cause.value, rollout)
    causes = job.summary().causes
    missing = job.total - len(job.rollouts)
    if causes or missing:
        yield f"{'invalid':<9} {sum(causes.values()):,}" + (f", and {missing:,} did not begin" if missing else "")
    for cause, count in sorted(causes.items(), key=lambda item: -item[1]):
        rollout = first[cause]
        label = f"  {cause} {count:,}".ljust(19)
        example = f"{plain(rollout.task)}: {first_line(rollout.error or '')}"
        yield f"{ink.yellow(label)} {example if width is None else cut(example, max(width - len(label) - 1, 20))}"
