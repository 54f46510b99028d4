"""The task source ``directory``: the tasks of a folder's Python files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_core.interfaces import TaskSource
from hud_core.log import logger
from hud_local.imports import shown
from hud_local.modules import load_module
from hud_local.python import Named, tasks_of
from hud_local.slugs import check_slugs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hud_core.model.task import Task

NOT_TASKS = {"__init__.py", "__main__.py", "conftest.py", "env.py", "setup.py"}
"""Files of a folder that are never asked for tasks, unless by name."""
_NOT_OURS = {"node_modules", "site-packages"}


class DirectorySource(TaskSource):
    """Tasks of a folder: those of the first group of files that has any.

    1. the folder itself, when it is a package (it has an ``__init__.py``);
    2. ``tasks.py`` and ``task.py``;
    3. every ``task.py`` further down, except below names that begin with ``.`` or ``_``;
    4. the other Python files, except env, conftest and setup.

    Files that cannot be imported are left out while others have tasks; `skipped` says which.
    """

    def __init__(self) -> None:
        self.skipped: list[str] = []
        """Why files were left out, by the last `load`."""

    def claims(self, ref: str) -> bool:
        """Whether it is a path: one that exists, or one that can be nothing else, such as ``./here`` or ``there/``."""
        is_path = ref.endswith(os.sep) or (ref.startswith((".", "~", os.sep)) and os.sep in ref)
        return bool(ref) and (is_path or Path(ref).expanduser().exists())

    async def load(self, ref: str) -> AsyncIterator[Task]:
        """Import the folder's files and give their tasks.

        Raises:
            ConfigError: There is no such folder, or no tasks in it.
            TaskDataError: Two tasks have one slug.
        """
        folder = _folder(ref)
        self.skipped = []
        found = self._first_group(folder)
        self.skipped = list(dict.fromkeys(self.skipped))  # a package is asked twice: for its name, for its tasks
        if not found:
            raise ConfigError(_nothing(folder, self.skipped))
        check_slugs(found)
        if self.skipped:
            logger().warning("\n".join([f"skipped {len(self.skipped)} of {shown(folder)}:", *self.skipped]))
        for _, task in found:
            yield task

    def _first_group(self, folder: Path) -> list[Named]:
        """Give the tasks of the first group that has any."""
        package = self._package(folder)
        for group in _groups(folder):
            found = [named for file in group for named in self._tasks(file, package if file.parent == folder else "")]
            if found:
                return found
        return []

    def _package(self, folder: Path) -> str:
        """Import the folder as a package, when it is one, and give the package's name."""
        init = folder / "__init__.py"
        if not init.is_file():
            return ""
        with self._skipping():
            return load_module(init).__name__
        return ""

    def _tasks(self, file: Path, package: str) -> list[Named]:
        with self._skipping():
            return tasks_of(load_module(file, package="" if file.name == "__init__.py" else package), file)
        return []

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Keep why a file cannot be used; others may have tasks."""
        try:
            yield
        except ConfigError as error:
            self.skipped.append(str(error))


def _folder(ref: str) -> Path:
    folder = Path(ref).expanduser()
    if not folder.exists():
        msg = f"no such file: {ref}"
        raise ConfigError(msg)
    if not folder.is_dir():
        msg = f"{ref} holds no tasks: give a folder or a file that ends in .py, .json or .jsonl"
        raise ConfigError(msg)
    return folder.resolve()


def _groups(folder: Path) -> Iterator[list[Path]]:
    """Give the groups of files to ask, one after the other."""
    yield [init] if (init := folder / "__init__.py").is_file() else []
    yield [file for file in (folder / "tasks.py", folder / "task.py") if file.is_file()]
    yield sorted(_deep(folder))
    rest = {file for file in folder.glob("*.py") if file.name not in {*NOT_TASKS, "tasks.py", "task.py"}}
    yield sorted(rest)


def _deep(folder: Path) -> Iterator[Path]:
    """Find every ``task.py`` below a folder, past hidden folders and virtual environments."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_")) and name not in _NOT_OURS]
        if "pyvenv.cfg" in files:
            folders.clear()
        elif "task.py" in files and Path(place) != folder:
            yield Path(place, "task.py")


def _nothing(folder: Path, skipped: list[str]) -> str:
    lines = [f"no tasks in {shown(folder)}: looked for __init__.py, tasks.py, task.py, **/task.py and *.py"]
    rows = sorted(file.name for pattern in ("*.json", "*.jsonl") for file in folder.glob(pattern))
    if rows:
        lines[0] += f"; to read {rows[0]}, name that file"
    return "\n".join([*lines, *skipped])
