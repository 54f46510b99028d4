"""``hud compare``: whether one side did better than another on the same tasks, and how sure that is."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from hud.cli.console import Ink, complain, emit, plain, width_of
from hud.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hud.cli.sides import Side
    from hud_core.job.comparison import Comparison, Pair

SMALLEST_P = 0.001
"""Below it a p-value is not told more exactly."""
SHOWN = 20
"""Tasks of the table; --full shows all."""
NAMED = 5
"""Tasks that a line names."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    side = "an id or the beginning of it, a directory, or `last`; `RUN:AGENT` where a run has several agents"
    parser.add_argument("first", metavar="A", help=f"what to compare with: {side}")
    parser.add_argument("second", metavar="B", nargs="?", help="the other; left out, A is a run with two agents")
    parser.add_argument("--alpha", type=_share, default=0.05, metavar="P", help="how often chance may pass (0.05)")
    parser.add_argument("--fail-if-worse", action="store_true", help="exit with 1 when B is worse, beyond chance")
    parser.add_argument("--min-coverage", type=_share, metavar="SHARE", help="exit with 1 when less is compared")
    parser.add_argument("--force", action="store_true", help="compare tasks that only have their names in common")
    parser.add_argument("--full", action="store_true", help="list every task")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most 1, got {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Compare, print, and say by the exit code whether it is well."""
    from hud.cli.sides import check_same_tasks, find_sides, notes
    from hud_core.errors import ConfigError
    from hud_core.job.comparison import compare_rewards

    if arguments.alpha == 1:
        raise ConfigError("--alpha must be less than 1")
    sides = find_sides(arguments.first, arguments.second)
    first, second = (side.tasks() for side in sides)
    if not arguments.force:
        check_same_tasks(first, second)
    rewards = ({task: [r.reward for r in rollouts] for task, rollouts in tasks.items()} for tasks in (first, second))
    found = compare_rewards(*rewards, alpha=arguments.alpha)
    remarks = [
        *notes(first, second),
        *(remark for label, side in zip("AB", sides, strict=True) for remark in side.notes(label)),
    ]
    if arguments.json:
        emit(json.dumps(_data(found, sides, remarks), indent=2))
    else:
        ink, width = Ink(sys.stdout), width_of(sys.stdout)
        for line in _lines(found, sides, remarks, ink, width, whole=arguments.full):
            emit(line)
    return _exit_code(found, arguments)


def _exit_code(found: Comparison, arguments: argparse.Namespace) -> int:
    least = arguments.min_coverage
    if not found.pairs:
        complain("error", "no task has a score on both sides, so nothing can be said")
        return Exit.FAILED
    if least is not None and found.coverage < least:
        complain("error", f"{found.coverage:.3f} of the tasks are compared, which is below --min-coverage {least:g}")
        return Exit.FAILED
    if arguments.fail_if_worse and found.verdict == "worse":
        complain("error", f"B is worse than A by {-(found.difference or 0):.3f} (--fail-if-worse)")
        return Exit.FAILED
    return Exit.OK


# --- as data ----------------------------------------------------------------------------------------------------------


def _data(found: Comparison, sides: Sequence[Side], remarks: list[str]) -> dict[str, Any]:
    mcnemar = found.mcnemar
    return {
        "first": _side_data(sides[0]),
        "second": _side_data(sides[1]),
        "notes": remarks,
        "tasks": found.total,
        "compared": len(found.pairs),
        "coverage": found.coverage,
        "only_first": list(found.only_first),
        "only_second": list(found.only_second),
        "unscored": list(found.unscored),
        "means": found.means,
        "difference": found.difference,
        "alpha": found.alpha,
        "interval": found.interval,
        "p_value": found.p_value,
        "mcnemar": None if mcnemar is None else {
            "only_first": mcnemar.only_first, "only_second": mcnemar.only_second, "p_value": mcnemar.p_value,
        },
        "detectable": found.detectable,
        "verdict": found.verdict,
        "flaky": [pair.task for pair in found.pairs if pair.is_flaky],
        "pairs": [
            {"task": pair.task, "first": pair.first, "second": pair.second, "difference": pair.difference}
            for pair in found.pairs
        ],
    }  # fmt: skip


def _side_data(side: Side) -> dict[str, Any]:
    from hud.cli.records import summary_data

    return {
        "run": side.run,
        "directory": str(side.directory),
        "agent": side.agent,
        "summary": summary_data(side.summary),
    }


# --- for people -------------------------------------------------------------------------------------------------------


def _lines(
    found: Comparison, sides: Sequence[Side], remarks: list[str], ink: Ink, width: int | None, *, whole: bool
) -> Iterator[str]:
    from hud.cli.table import cut

    yield from _table(found, ink, width, whole=whole)
    for label, text in _facts(found, sides, remarks):
        line = f"{label:<10} {plain(text)}"
        yield cut(line, width) if width is not None and label in ("A", "B") else line
    yield f"{'verdict':<10} {_verdict(found, ink)}"


def _table(found: Comparison, ink: Ink, width: int | None, *, whole: bool) -> Iterator[str]:
    """Give the tasks that differ, those that got worse first; every task when the whole table is wanted."""
    from hud.cli.table import render

    listed = [pair for pair in found.pairs if whole or pair.difference]
    shown = sorted(listed, key=lambda pair: pair.difference)
    if not whole and len(shown) > SHOWN:
        shown = [*shown[: SHOWN // 2], *shown[-(SHOWN // 2) :]]
    if shown:
        rows = [_row(pair) for pair in shown]
        yield from render(("task", "A", "B", "change", "flaky"), rows, ink=ink, width=width, right="lrrrl")
        if len(shown) < len(listed):
            yield ink.dim(f"... {len(listed) - len(shown):,} more that differ: --full")
        yield ""


def _row(pair: Pair) -> tuple[str, ...]:
    first, second = pair.means
    return pair.task, f"{first:.3f}", f"{second:.3f}", f"{pair.difference:+.3f}", "flaky" if pair.is_flaky else ""


def _facts(found: Comparison, sides: Sequence[Side], remarks: list[str]) -> Iterator[tuple[str, str]]:
    for label, side in zip("AB", sides, strict=True):
        summary = side.summary
        yield label, f"{side.agent}, {summary.scored:,}/{summary.total:,} rollouts scored, run {side.run}"
    yield "tasks", _coverage(found)
    if found.means is not None and found.difference is not None:
        yield "mean", f"{found.means[0]:.3f} for A, {found.means[1]:.3f} for B, over the tasks that are compared"
        interval = "" if found.interval is None else f", {_level(found)} interval {_range(*found.interval)}"
        yield "difference", f"{found.difference:+.3f}{interval}"
        yield "chance", f"p {_p_value(found.p_value)} (permutation test){_mcnemar(found)}"
    if found.detectable is not None:
        yield "detectable", _detectable(found.detectable, found.pairs)
    if flaky := [pair.task for pair in found.pairs if pair.is_flaky]:
        yield "flaky", f"{len(flaky):,} with other rewards in each repeat: {_some(flaky)}"
    for remark in remarks:
        yield "note", remark


def _detectable(least: float, pairs: Sequence[Pair]) -> str:
    if least > 1 and all(0 <= reward <= 1 for pair in pairs for reward in (*pair.first, *pair.second)):
        return "nothing: even a true difference of 1 stays mostly unseen with so few tasks"
    return f"{least:.3f}: smaller true differences stay mostly unseen with so many tasks"


def _coverage(found: Comparison) -> str:
    missing = [
        f"{len(tasks):,} {why} ({_some(tasks)})"
        for tasks, why in (
            (found.only_first, "not in B"),
            (found.only_second, "not in A"),
            (found.unscored, "without a score"),
        )
        if tasks
    ]
    return "; ".join([f"{len(found.pairs):,}/{found.total:,} compared", *missing])


def _some(tasks: Sequence[str]) -> str:
    return ", ".join(tasks[:NAMED]) + (", ..." if len(tasks) > NAMED else "")


def _level(found: Comparison) -> str:
    return f"{100 * (1 - found.alpha):g}%"


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}"


def _p_value(value: float | None) -> str:
    return "-" if value is None else f"< {SMALLEST_P}" if value < SMALLEST_P else f"= {value:.3f}"


def _mcnemar(found: Comparison) -> str:
    if found.mcnemar is None:
        return ""
    alone = f"B alone passed {found.mcnemar.only_second:,}, A alone {found.mcnemar.only_first:,}"
    return f", p {_p_value(found.mcnemar.p_value)} (McNemar: {alone})"


def _verdict(found: Comparison, ink: Ink) -> str:
    if found.verdict == "better":
        return f"{ink.green('B is better')}, beyond chance (p < {found.alpha:g})"
    if found.verdict == "worse":
        return f"{ink.red('B is worse')}, beyond chance (p < {found.alpha:g})"
    if 2 / 2 ** len(found.pairs) >= found.alpha:
        return f"{ink.yellow('unclear')}: with so few tasks, no difference can be told from chance"
    return f"{ink.yellow('unclear')}: these tasks do not show that one of them is better"
