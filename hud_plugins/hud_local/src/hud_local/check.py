"""``hud check``: finds tasks that cannot be solved, or that are solved by doing nothing."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import anyio
import msgspec

from hud_core.errors import ConfigError, TaskDataError, closest
from hud_core.job import run as run_job
from hud_core.job.statistics import PASS_THRESHOLD
from hud_core.kernel import Kernel

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from hud_core.model.rollout import Rollout
    from hud_core.model.task import Task

ORACLE, NOP = "oracle", "nop"


class Finding(msgspec.Struct, kw_only=True):
    """What the check found out about one task."""

    task: str
    index: int
    oracle: float | None = None
    """What the task's own solution earned; None where it was not scored."""
    nop: float | None = None
    """What doing nothing earned."""
    problems: list[str] = []
    """Why the task is not fit to measure anything."""
    warnings: list[str] = []


class Report(msgspec.Struct, kw_only=True):
    """What the check found out."""

    ok: bool
    tasks: list[Finding]
    problems: list[str] = []
    """What is wrong with the source as a whole: rows with mistakes, slugs that come twice."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("source", nargs="?", default=".", help="a tasks file, a folder, or another source of tasks")
    parser.add_argument("--task-ids", metavar="A,B", help="check these only: slugs, or places counted from 0")
    parser.add_argument("--max-concurrent", type=int, default=30, metavar="N", help="rollouts at once (default: 30)")
    parser.add_argument("--isolate", action="store_true", help="run each rollout in a process of its own")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--out", metavar="DIR", help="keep the rollouts in this run directory")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0 when every task is fit, 1 when one is not.

    Raises:
        ConfigError: There is nothing to check.
    """
    with redirect_stdout(sys.stderr):  # whatever a task's code prints is talk; the report is the result
        report = anyio.run(_check, arguments)
    if arguments.json:
        sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(report), indent=2).decode()}\n")
    else:
        sys.stdout.write(f"{_readable(report)}\n")
    return 0 if report.ok else 1


async def _check(arguments: argparse.Namespace) -> Report:
    kernel = getattr(arguments, "kernel", None) or Kernel()
    source = kernel.source_for(arguments.source)
    try:
        tasks = [task async for task in source.load(arguments.source)]
        if arguments.task_ids:
            tasks = select(tasks, arguments.task_ids.split(","))
        job = await run_job(
            tasks,
            [ORACLE, NOP],
            name=f"check {arguments.source}",
            max_concurrent=arguments.max_concurrent,
            backend="process" if arguments.isolate else None,
            kernel=kernel,
            save=arguments.out is not None,
            directory=arguments.out,
        )
    except TaskDataError as error:
        return Report(ok=False, tasks=[], problems=list(error.problems))
    return judge(tasks, job)


def select(tasks: Sequence[Task], ids: Iterable[str]) -> list[Task]:
    """Pick tasks by slug, by id, or by their place counted from 0.

    Raises:
        ConfigError: There is no such task.
    """
    known = {str(number): task for number, task in enumerate(tasks)}
    known |= {name: task for task in tasks for name in (task.id, task.slug) if name}
    picked = [name.strip() for name in ids if name.strip()]
    for name in picked:
        if name not in known:
            msg = f"no task {name!r}{closest(name, known)}"
            raise ConfigError(msg)
    return [known[name] for name in picked]


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(tasks: Sequence[Task], rollouts: Iterable[Rollout]) -> Report:
    """Judge tasks by what the oracle and doing nothing earned."""
    findings = [Finding(task=task.label, index=index) for index, task in enumerate(tasks)]
    for task, finding in zip(tasks, findings, strict=True):
        if task.slug is None:
            finding.warnings.append("no slug, so it cannot be synced or picked by name")
    for rollout in rollouts:
        judge_one = _judge_oracle if rollout.agent == ORACLE else _judge_nop
        judge_one(findings[rollout.task_index], rollout)
    return Report(ok=not any(finding.problems for finding in findings), tasks=findings)


def _judge_oracle(finding: Finding, rollout: Rollout) -> None:
    finding.oracle = rollout.reward
    if rollout.reward is None:
        finding.problems.append(f"unsolvable: {rollout.cause}: {rollout.error}")
    elif rollout.reward < PASS_THRESHOLD:
        finding.problems.append(f"unsolvable: its own solution earns {rollout.reward:g}, not {PASS_THRESHOLD:g}")


def _judge_nop(finding: Finding, rollout: Rollout) -> None:
    finding.nop = rollout.reward
    if rollout.reward is None:
        finding.problems.append(f"an empty answer cannot be graded: {rollout.cause}: {rollout.error}")
    elif rollout.reward >= PASS_THRESHOLD:
        finding.problems.append("solved by doing nothing")
    elif rollout.reward > 0:
        finding.warnings.append(f"doing nothing earns {rollout.reward:g}")


# --- printing ---------------------------------------------------------------------------------------------------------


def _readable(report: Report) -> str:
    """Lay the report out: a line for each finding, the longest column last, so that nothing is cut or folded."""
    rows = [row for finding in report.tasks for row in _rows(finding)]
    if rows:
        rows.insert(0, ("", "task", ORACLE, NOP, "finding"))
    width = max((len(row[1]) for row in rows), default=0)
    lines = [f"{mark:1}  {task:{width}}  {oracle:>6}  {nop:>5}  {text}" for mark, task, oracle, nop, text in rows]
    return "\n".join(_visible(line) for line in [*report.problems, *lines, _summary(report)])


def _rows(finding: Finding) -> list[tuple[str, str, str, str, str]]:
    marked = [("✗", problem) for problem in finding.problems] + [("!", warning) for warning in finding.warnings]
    rewards = (_reward(finding.oracle), _reward(finding.nop))
    return [(mark, finding.task, *rewards, " ".join(text.split())) for mark, text in marked]


def _visible(text: str) -> str:
    """Show what would steer the terminal instead of obeying it: a task's text may hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _reward(reward: float | None) -> str:
    return "-" if reward is None else f"{reward:.3f}"


def _summary(report: Report) -> str:
    if report.problems:
        count = len(report.problems)
        return f"{count} mistake{'s' * (count != 1)}; nothing was run"
    unfit = sum(bool(finding.problems) for finding in report.tasks)
    if unfit:
        return f"{unfit} of {len(report.tasks)} tasks are not fit to measure anything"
    return f"{len(report.tasks)} tasks: each is solved by its own solution, none by doing nothing"
