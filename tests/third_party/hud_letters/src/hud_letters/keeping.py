"""Where tasks come from, and where tasks and results go."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core import ConfigError, EnvRef, ResultSink, SyncPlan, SyncReport, Task, TaskDataError, TaskSink, TaskSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hud_core.model.events import Event

PREFIX = "words:"


class Words(TaskSource):
    """One task for each word of a list, or of a file."""

    def claims(self, ref: str) -> bool:
        """Whether it begins with ``words:``."""
        return ref.startswith(PREFIX)

    async def load(self, ref: str) -> AsyncIterator[Task]:
        """Read the words, then give their tasks."""
        words = _words(ref.removeprefix(PREFIX))
        if wrong := [
            f"expected letters, got {word!r} @ line {n}" for n, word in enumerate(words, 1) if not word.isalpha()
        ]:
            raise TaskDataError(wrong)
        for word in words:
            yield Task(env=EnvRef("contract"), scenario="letters", args={"word": word}, slug=word)


def _words(listed: str) -> list[str]:
    if not listed.endswith(".txt"):
        return listed.split(",")
    try:
        return Path(listed).read_text("utf-8").split()
    except FileNotFoundError as error:
        msg = f"no such file: {listed}"
        raise ConfigError(msg) from error


class Shelf(TaskSink):
    """Keeps tasks in one JSON file, by slug."""

    async def plan(self, tasks: Sequence[Task], ref: str) -> SyncPlan:
        """Compare by slug."""
        there = _read(ref)
        known = [(task, _row(task), there.get(str(task.slug))) for task in tasks]
        return SyncPlan(
            ref=ref,
            create=tuple(task for task, _, old in known if old is None),
            update=tuple((task, _changes(row, old)) for task, row, old in known if old is not None and old != row),
            unchanged=tuple(str(task.slug) for task, row, old in known if old == row),
            remote_only=tuple(slug for slug in there if slug not in {task.slug for task in tasks}),
        )

    async def apply(self, plan: SyncPlan) -> SyncReport:
        """Add what is new, replace what changed, keep the rest."""
        changed = [*plan.create, *(task for task, _ in plan.update)]
        rows = {**_read(plan.ref), **{str(task.slug): _row(task) for task in changed}}
        _write(plan.ref, rows)
        return SyncReport(created=len(plan.create), updated=len(plan.update))


def _read(ref: str) -> dict[str, Any]:
    file = Path(ref)
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def _write(ref: str, data: object) -> None:
    Path(ref).write_text(json.dumps(data), "utf-8")


def _row(task: Task) -> dict[str, Any]:
    return {"scenario": task.scenario, "args": task.args}


def _changes(row: dict[str, Any], old: dict[str, Any]) -> str:
    return ", ".join(key for key in row if row[key] != old.get(key))


class Tally(ResultSink):
    """Counts events by type.

    Args:
        file: Where the counts go when the job ends.
    """

    def __init__(self, file: str | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._file = file

    async def handle(self, event: Event) -> None:
        """Count it, whatever it is."""
        self.counts[event.type] += 1

    async def aclose(self) -> None:
        """Write the counts."""
        if self._file is not None:
            _write(self._file, self.counts)
