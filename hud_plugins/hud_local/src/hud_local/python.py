"""The task source ``python``: the tasks that a Python file defines, in the order in which it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.environment.environment import Environment
from hud_core.environment.scenario import ScenarioHandle
from hud_core.errors import ConfigError
from hud_core.interfaces import TaskSource
from hud_core.model.task import Task
from hud_local.imports import shown
from hud_local.modules import load_module
from hud_local.slugs import check_slugs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

Named = tuple[str, Task]
"""A task with the name of its place, such as ``tasks[2]`` or ``strawberry_r``."""


class PythonSource(TaskSource):
    """Tasks of a Python file: its ``tasks`` if it has them, or else each module-level task."""

    def claims(self, ref: str) -> bool:
        """Whether it is the name of a Python file, existing or not."""
        return ref.endswith(".py")

    async def load(self, ref: str) -> AsyncIterator[Task]:
        """Import the file and give its tasks.

        Raises:
            ConfigError: There is no such file, it cannot be imported, or it defines no tasks.
            TaskDataError: Two tasks have one slug, or ``tasks`` holds something else.
        """
        for _, task in load_file(Path(ref)):
            yield task


def load_file(path: Path) -> list[Named]:
    """Import a Python file and give its tasks; errors as for `PythonSource.load`."""
    path = path.expanduser()
    module = load_module(path)
    found = tasks_of(module, path)
    if not found:
        raise ConfigError(_nothing(module, path))
    check_slugs(found)
    return found


def tasks_of(module: ModuleType, path: Path) -> list[Named]:
    """Find a module's tasks: its ``tasks`` wins; otherwise its public attributes that are tasks, in order.

    Raises:
        ConfigError: ``tasks`` holds something that is not a task.
    """
    listed = vars(module).get("tasks")
    if isinstance(listed, Mapping):
        return list(_checked(((f"tasks[{key!r}]", item) for key, item in listed.items()), path))
    if isinstance(listed, list | tuple | Iterator):
        return list(_checked(((f"tasks[{number}]", item) for number, item in enumerate(listed)), path))
    named: dict[int, Named] = {}
    for name, item in vars(module).items():
        if isinstance(item, Task) and not name.startswith("_"):
            named.setdefault(id(item), (f"{name} ({shown(path)})", item))
    return list(named.values())


def _checked(items: Iterable[tuple[str, Any]], path: Path) -> Iterator[Named]:
    for place, item in items:
        if not isinstance(item, Task):
            hint = "; call its .task(...) with arguments" if isinstance(item, ScenarioHandle) else ""
            msg = f"{shown(path)}: {place} is {type(item).__name__} {item!r:.60}, not a task{hint}"
            raise ConfigError(msg)
        yield f"{place} ({shown(path)})", item


def _nothing(module: ModuleType, path: Path) -> str:
    """Say what was looked for, and what is there instead."""
    if "tasks" in vars(module) and vars(module)["tasks"] in ([], (), {}):
        return f"no tasks in {shown(path)}: its `tasks` is empty"
    looked = f"no tasks in {shown(path)}: it has no list `tasks` and no module-level task such as `t = count.task(...)`"
    lists = [name for name, item in vars(module).items() if isinstance(item, list) and any(map(_is_task, item))]
    if lists:
        return f"{looked}; call the list {lists[0]!r} `tasks`"
    scenarios = [name for name, item in vars(module).items() if isinstance(item, ScenarioHandle)]
    return f"{looked}; make one of its scenario: {scenarios[0]}.task(...)" if scenarios else looked


def _is_task(item: object) -> bool:
    return isinstance(item, Task)


def environments_of(path: Path) -> dict[str, Environment]:
    """Give the environments that a Python file declares, by name.

    Raises:
        ConfigError: There is no such file, it cannot be imported, or it declares two of one name.
    """
    found: dict[str, Environment] = {}
    for item in vars(load_module(path)).values():
        if isinstance(item, Environment) and found.setdefault(item.name, item) is not item:
            msg = f"{shown(path)} declares two environments {item.name!r}; give one of them another name"
            raise ConfigError(msg)
    return found
