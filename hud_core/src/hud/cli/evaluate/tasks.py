"""Which tasks a job runs: found, filtered, and never all in memory when there are very many."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hud.cli.evaluate.settings import ALL, FIRST
from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hud.cli.evaluate.settings import Settings
    from hud_core.kernel import Kernel
    from hud_core.model.task import Task

HELD = 10_000
"""Tasks that are read before a job begins; of a longer source the rest is read while it runs."""


class Selection(NamedTuple):
    """The tasks of a job."""

    tasks: list[Task] | AsyncIterator[Task]
    total: int | None
    """How many there are; None where that is not known before the job has read them."""
    remark: str = ""
    """What people should know about the choice."""


def find_source(values: Mapping[str, Any], kernel: Kernel) -> str:
    """Find the source: the one that is named, else the one that is there.

    Raises:
        ConfigError: There is none, or more than one.
    """
    if source := values.get("source"):
        if source in kernel.agents and not values.get("agent") and not Path(source).exists():
            raise ConfigError(f"{source!r} is an agent, and no source of tasks: hud eval tasks.py {source}")
        return str(source)
    if Path("tasks.py").is_file():
        return "tasks.py"
    rows = sorted(path.name for path in Path().iterdir() if path.suffix in (".json", ".jsonl") and path.is_file())
    if len(rows) == 1:
        return rows[0]
    found = f"there are {', '.join(rows[:5])}" if rows else "there is no tasks.py and no .json or .jsonl file here"
    raise ConfigError(f"which tasks? {found}; name one: hud eval SOURCE AGENT")


@asynccontextmanager
async def select(settings: Settings, kernel: Kernel) -> AsyncIterator[Selection]:
    """Give the tasks that the settings choose; a source that is still open is closed at the end.

    Raises:
        ConfigError: There is no such source, no such task, or no task at all.
        TaskDataError: Rows are wrong.
    """
    async with AsyncExitStack() as stack:
        stream = kernel.source_for(settings.source).load(settings.source)
        if close := getattr(stream, "aclose", None):
            stack.push_async_callback(close)
        if settings.chosen == ALL:
            yield await _all(stream, settings.source)
        elif settings.chosen == FIRST:
            yield await _first(stream, settings.source)
        else:
            tasks = await _named(stream, settings.task_ids, settings.source)
            yield Selection(tasks, len(tasks))


def _empty(source: str) -> ConfigError:
    return ConfigError(f"there are no tasks in {source}")


async def _first(stream: AsyncIterator[Task], source: str) -> Selection:
    task = await anext(stream, None)
    if task is None:
        raise _empty(source)
    return Selection([task], 1, f"the first task only: {task.label!r} (--full runs all, --task-ids A,B chooses)")


async def _all(stream: AsyncIterator[Task], source: str) -> Selection:
    held: list[Task] = []
    async for task in stream:
        held.append(task)
        if len(held) >= HELD:
            return Selection(_chain(held, stream), None)
    if not held:
        raise _empty(source)
    return Selection(held, len(held))


async def _chain(held: list[Task], stream: AsyncIterator[Task]) -> AsyncIterator[Task]:
    held.reverse()
    while held:
        yield held.pop()
    async for task in stream:
        yield task


async def _named(stream: AsyncIterator[Task], wanted: list[str], source: str) -> list[Task]:
    """Pick tasks by slug or id, else by place; in their order of definition."""
    by_name: dict[str, list[tuple[int, Task]]] = {}
    by_place: dict[str, tuple[int, Task]] = {}
    seen: list[str] = []
    count = 0
    async for task in stream:
        name, place = task.slug or task.id or "", str(count)
        for key in {name, task.id or name} & set(wanted):
            by_name.setdefault(key, []).append((count, task))
        if place in wanted:
            by_place[place] = (count, task)
        if name and len(seen) < HELD:
            seen.append(name)
        count += 1
    missing = [name for name in wanted if name not in by_name and name not in by_place]
    if missing:
        raise ConfigError("\n".join(_no_task(name, seen, count, source) for name in missing))
    chosen = {place: task for name in wanted for place, task in by_name.get(name) or [by_place[name]]}
    return [chosen[place] for place in sorted(chosen)]


def _no_task(name: str, seen: list[str], count: int, source: str) -> str:
    if name.isdecimal():
        return f"no task {name!r} in {source}: it has {count}, counted from 0"
    return f"no task {name!r} in {source}{closest(name, seen) or _some(seen)}"


def _some(seen: list[str]) -> str:
    if not seen:
        return "; its tasks have no slugs, choose them by place: --task-ids 0,1"
    more = f", ... ({len(seen)} in all)" if len(seen) > 5 else ""  # noqa: PLR2004
    return f"; it has {', '.join(seen[:5])}{more}"


def describe(selection: Selection, settings: Settings) -> dict[str, Any]:
    """Say how many rollouts that makes, for the run directory."""
    variants = 1
    for choice in settings.variants.values():
        variants *= len(choice)
    total = None if selection.total is None else selection.total * settings.group_size * variants
    return {"tasks": selection.total, "total": total}
