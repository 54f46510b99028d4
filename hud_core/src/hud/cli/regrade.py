"""``hud regrade``: scores the answers of a run again, without running anything but graders."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from hud.cli.console import Ink, complain, emit, first_line, plain, say, stdout_is_talk, width_of
from hud.cli.exits import Exit
from hud.cli.records import contestant, forget_summary, job_data, job_of, run_name, summary_data, write_summary
from hud.cli.runs import find
from hud_core.environment.json_codec import to_json_data
from hud_core.errors import ConfigError, TaskDataError
from hud_core.settings import mask

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hud_core.job import Job
    from hud_core.job.grading import Row
    from hud_core.job.regrading import Regrading
    from hud_core.kernel import Kernel
    from hud_core.model.rollout import Rollout, Usage
    from hud_core.model.task import Task

SHOWN = 20
"""Changed rollouts that are listed."""
NAMED = 3
"""How many tasks of one kind are named."""
NO_GRADERS = "the code of its scenario grades it, and needs the live environment; give named ones with --graders"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", help="an id or the beginning of it, a directory, or `last`")
    parser.add_argument("--graders", metavar="FILE|JSON", help="grade every answer with these; a list of rows")
    parser.add_argument("--source", metavar="SOURCE", help="where the tasks with their graders are (as in the run)")
    parser.add_argument("--out", metavar="DIR", help="the new run directory; one that was begun is gone on with")
    parser.add_argument("--max-concurrent", type=int, default=30, metavar="N", help="answers graded at once (30)")
    parser.add_argument("--min-coverage", type=float, metavar="SHARE", help="exit with 1 when less has a score")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Grade again, and print what changed."""
    if arguments.max_concurrent < 1:
        raise ConfigError(f"--max-concurrent must be at least 1, got {arguments.max_concurrent}")
    old = job_of(_ended(arguments.run))
    with stdout_is_talk():
        plan, new, spent = anyio.run(_regrade, old, arguments)
    write_summary(new)
    found = _Result(old, new, plan, spent)
    if arguments.json:
        emit(json.dumps(found.data(), indent=2))
    else:
        for line in found.lines(Ink(sys.stdout), width_of(sys.stdout)):
            emit(line)
    return _exit_code(found, arguments.min_coverage)


def _ended(name: str) -> Path:
    from hud.cli.evaluate.resume import is_locked

    path = find(name)
    if is_locked(path):
        raise ConfigError(f"run {run_name(path)} is still running; wait for it, or stop it first")
    return path


def _exit_code(found: _Result, least: float | None) -> int:
    if all(one.reward is None for one in found.regraded):
        complain("error", "no rollout could be graded again")
        return Exit.FAILED
    if least is not None and found.new.coverage < least:
        complain("error", f"coverage {found.new.coverage:.3f} is below --min-coverage {least:g}")
        return Exit.FAILED
    return Exit.OK


# --- grading ----------------------------------------------------------------------------------------------------------


async def _regrade(old: Job, arguments: argparse.Namespace) -> tuple[list[Regrading], Job, Usage]:
    """Grade what is not graded yet, and read the new run back; say what this has used of models."""
    from hud_core.job.directory import RUNS, new_job_id, read_manifest, read_scored
    from hud_core.job.fingerprint import digest_graders
    from hud_core.job.regrading import open_regraded, regrade

    kernel: Kernel = arguments.kernel
    assert old.directory is not None  # noqa: S101  it was read from there
    manifest = {**read_manifest(old.directory), "started": time.time(), "total": old.total}
    manifest.pop("command", None)  # `hud eval --resume` cannot go on with it
    rows = None if arguments.graders is None else _read_rows(arguments.graders, kernel)
    source = arguments.source or manifest.get("source")
    plan = await _plan(old, rows, source, kernel)
    path = Path(arguments.out) if arguments.out else RUNS / new_job_id()
    digest = digest_graders([row for one in plan for row in one.graders or ()])
    shown = None if rows is None else [mask(row) for row in rows]  # settings of a judge may hold a key
    how = {"run": old.id, "graders": shown, "source": None if rows is not None else source, "digest": digest}
    directory = open_regraded(path, old.directory, {**manifest, "id": path.name}, how)
    forget_summary(path)
    done = read_scored(path)
    say(f"grading {len(old.rollouts) - len(done):,} rollouts again, into {path} (to go on after a stop: --out {path})")
    try:
        waiting = [one for one in plan if one.rollout.id not in done]
        spent = await regrade(waiting, kernel, directory, max_concurrent=arguments.max_concurrent)
        directory.sync()
    finally:
        directory.close()
    return plan, job_of(path), spent


def _read_rows(given: str, kernel: Kernel) -> list[Row]:
    """Read and check the graders of the command line.

    Raises:
        ConfigError: It is no file and no JSON list.
        TaskDataError: A grader or an option is wrong.
    """
    from hud_core.job.grading import check_rows

    is_inline = given.lstrip().startswith(("[", "{"))
    try:
        rows = json.loads(given if is_inline else Path(given).read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"--graders: no such file {given}, and it is no JSON") from None
    except ValueError as error:
        raise ConfigError(f"--graders: {'it' if is_inline else given} is no JSON: {error}") from None
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f'--graders must be a list such as [{{"name": "contains", "expected": "3"}}], got {rows!r}')
    if problems := [f"{problem} @ {where}" for problem, where in check_rows(rows, kernel)]:
        raise TaskDataError(problems)
    return rows


async def _plan(old: Job, rows: list[Row] | None, source: str | None, kernel: Kernel) -> list[Regrading]:
    from hud_core.job.regrading import plan_regrading

    if rows is not None:
        return [plan_regrading(rollout, rows, "", kernel) for rollout in old.rollouts]
    if source is None:
        raise ConfigError("the run does not say where its tasks came from; give --source or --graders")
    tasks = await _Tasks.load(source, kernel)
    return [plan_regrading(rollout, *tasks.graders(rollout), kernel) for rollout in old.rollouts]


class _Tasks:
    """The tasks of a source as they are now, found by the rollouts that were made of them."""

    def __init__(self, source: str, tasks: list[Task]) -> None:
        from hud_core.job.fingerprint import digest_task

        self._source = source
        self._by_digest: dict[str, list[tuple[int, Task]]] = {}
        for index, task in enumerate(tasks):
            self._by_digest.setdefault(digest_task(task), []).append((index, task))

    @classmethod
    async def load(cls, source: str, kernel: Kernel) -> _Tasks:
        from hud_core.job.grading import check_tasks
        from hud_core.job.plan import stream_tasks

        tasks = [task async for task in stream_tasks(source, kernel)]
        check_tasks(tasks, kernel)
        return cls(source, tasks)

    def graders(self, rollout: Rollout) -> tuple[list[Row] | None, str]:
        """Give the graders of a rollout's task, or say why there are none."""
        if rollout.fingerprint is None:
            return None, "its record has no fingerprint, so its task cannot be told"
        same = self._by_digest.get(rollout.fingerprint.task, [])
        if not same:
            return None, f"{self._source} has no such task any more: its arguments or settings are others"
        # Tasks may differ in their names and graders only: the name tells, then the place.
        _, task = min(same, key=lambda one: (one[1].label != rollout.task, one[0] != rollout.task_index))
        return task.graders or None, NO_GRADERS


# --- the result -------------------------------------------------------------------------------------------------------


class _Result:
    """What changed."""

    def __init__(self, old: Job, new: Job, plan: list[Regrading], spent: Usage) -> None:
        self.old, self.new, self._spent = old, new, spent
        self._before = {rollout.id: rollout for rollout in old.rollouts}
        after = {rollout.id: rollout for rollout in new.rollouts}
        self.regraded = [after[one.rollout.id] for one in plan if one.graders is not None]
        self._kept_out = [one for one in plan if one.graders is None]
        self.changed = [one for one in self.regraded if one.reward != self._before[one.id].reward]

    def data(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {
            "of": self.old.id,
            **job_data(self.new),
            "old_summary": summary_data(self.old.summary()),
            "spent": to_json_data(self._spent),
            "regraded": len(self.regraded),
            "changed": [
                {"rollout": one.id, "old": self._before[one.id].reward, "new": one.reward, "error": one.error}
                for one in self.changed
            ],
            "not_regradable": [{"rollout": one.rollout.id, "reason": one.reason} for one in self._kept_out],
        }

    def lines(self, ink: Ink, width: int | None) -> Iterator[str]:
        """Give it as people read it."""
        from hud.cli.report import spent

        yield from self._table(ink, width)
        counted = f"{len(self.regraded):,}/{len(self._before):,} rollouts, {len(self.changed):,} changed"
        yield f"{'regraded':<9} {counted}"
        for reason, tasks in self._reasons().items():
            more = ", ..." if tasks[NAMED:] else ""
            yield f"{'not':<9} {len(tasks):,} ({plain(', '.join(tasks[:NAMED]))}{more}): {plain(reason)}"
        before, after = self.old.summary(), self.new.summary()
        yield f"{'mean':<9} {_number(before.mean)} before, {_number(after.mean)} now{self._on_both()}"
        yield f"{'coverage':<9} {before.scored:,}/{before.total:,} before, {after.scored:,}/{after.total:,} now"
        if after.causes:
            yield f"{'invalid':<9} {', '.join(f'{cause} {count:,}' for cause, count in after.causes.items())}"
        for failed in [one for one in self.regraded if one.reward is None][:1]:
            yield f"{'such as':<9} {plain(failed.task)}: {first_line(failed.error or '')}"
        if self._spent.calls:
            yield f"{'spent':<9} {spent(self._spent)}"
        yield f"{'run':<9} {self.new.directory}"

    def _table(self, ink: Ink, width: int | None) -> Iterator[str]:
        from hud.cli.table import render

        rows = [
            (one.task, contestant(one), str(one.repeat), _number(self._before[one.id].reward), _score(one))
            for one in self.changed[:SHOWN]
        ]
        if rows:
            yield from render(("task", "agent", "repeat", "old", "new"), rows, ink=ink, width=width, right="llrrr")
            if len(self.changed) > SHOWN:
                yield ink.dim(f"... {len(self.changed) - SHOWN:,} more: --json lists them")
            yield ""

    def _on_both(self) -> str:
        """Give the means over the rollouts that have both scores, where those are not all."""
        pairs = [(self._before[one.id].reward, one.reward) for one in self.new.rollouts]
        both = [(old, new) for old, new in pairs if old is not None and new is not None]
        if not both or len(both) == len(pairs):
            return ""
        old, new = (sum(rewards) / len(both) for rewards in zip(*both, strict=True))
        return f"; over the {len(both):,} with both scores {old:.3f} and {new:.3f}"

    def _reasons(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self._kept_out:
            found.setdefault(one.reason, []).append(one.rollout.task)
        return found


def _number(reward: float | None) -> str:
    return "-" if reward is None else f"{reward:.3f}"


def _score(rollout: Rollout) -> str:
    return f"{rollout.reward:.3f}" if rollout.reward is not None else str(rollout.cause)
