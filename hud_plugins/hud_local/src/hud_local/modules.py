"""Imports Python files the way ``python FILE`` would, many of them in one process.

A file's own imports (``from env import count``) are looked for beside it and in the root of its project. Modules found
there belong to the project: they are dropped when a file of another project with other such modules is loaded, when one
of them has changed, and when the import fails half-way. Everything else, such as installed packages, is left alone.

`sys.modules` and `sys.path` belong to the process. What this module adds to them carries a mark, so no other record of
it is kept.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_local.imports import entries_of, explained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "env.py", ".hud", ".git")
ROOT_DISTANCE = 10
"""How many folders up a project's root is looked for."""
_STAMP = "__hud_stamp__"
"""The mark of a module that was loaded for a file of tasks: its file's time and size."""
_LOCK = threading.RLock()


class _Folder(str):
    """A folder on `sys.path` that was put there for the files being loaded."""

    __slots__ = ()


def load_module(path: Path, *, package: str = "") -> ModuleType:
    """Import a Python file.

    Args:
        path: The file; ``__init__.py`` stands for its package.
        package: The package that the file is a module of, when its relative imports are to work.

    Returns:
        The module; the one that is there already when nothing of its project has changed.

    Raises:
        ConfigError: There is no such file, or it cannot be imported; the message shows the line and a fix.
    """
    if not path.is_file():
        msg = f"no such file: {path}"
        raise ConfigError(msg)
    path = path.resolve()
    with _LOCK:
        return _Import(path, package).run()


def project_root(folder: Path) -> Path:
    """Find the root of the project that a folder is part of; the folder itself where nothing marks one."""
    for candidate in [folder, *folder.parents][: ROOT_DISTANCE + 1]:
        if any((candidate / marker).exists() for marker in ROOT_MARKERS):
            return candidate
    return folder


class _Import:
    """One import of one file."""

    def __init__(self, path: Path, package: str) -> None:
        self.path = path
        self.name = _module_name(path, package)
        home = path.parent.parent if path.stem == "__init__" else path.parent
        folders = [home, *([path.parent.parent] if package else []), project_root(path.parent)]
        self.folders = [_Folder(folder) for folder in dict.fromkeys(folders)]
        self.offered = _offered(self.folders)

    def run(self) -> ModuleType:
        importlib.invalidate_caches()
        before, sys_path = dict(sys.modules), list(sys.path)
        others = self._set_aside()
        sys.path[:] = [*self.folders, *(folder for folder in sys.path if not isinstance(folder, _Folder))]
        try:
            module = self._execute()
        except BaseException:
            for name in self._own(before):
                del sys.modules[name]
            sys.modules.update({name: before[name] for name in before if name not in sys.modules})
            sys.path[:] = sys_path
            raise
        for name in self._own(before):
            vars(sys.modules[name]).setdefault(_STAMP, _stamp(sys.modules[name]))
        sys.modules.update(others)
        return module

    def _execute(self) -> ModuleType:
        known = sys.modules.get(self.name)
        if known is not None and _file_of(known) == str(self.path):
            return known
        search = [str(self.path.parent)] if self.path.stem == "__init__" else None
        spec = importlib.util.spec_from_file_location(self.name, self.path, submodule_search_locations=search)
        assert spec is not None  # noqa: S101  a file that ends in .py always has one
        assert spec.loader is not None  # noqa: S101
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        with explained(self.path, self.folders):
            spec.loader.exec_module(module)
        return module

    def _set_aside(self) -> dict[str, ModuleType]:
        """Take modules out of the way that the file must not see, and give those that are not ours to drop."""
        others: dict[str, ModuleType] = {}
        fresh = all(_is_fresh(module) for module in _marked())
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if _is_marked(module):
                if fresh and self._offers(top):
                    continue
            elif self._hides(top):
                others[name] = module
            else:
                continue
            del sys.modules[name]
        return others

    def _own(self, before: dict[str, ModuleType]) -> list[str]:
        """Name the modules of the project that the import brought."""
        new = [name for name in sys.modules if sys.modules[name] is not before.get(name)]
        return [name for name in new if self._is_main(top := name.partition(".")[0]) or self._offers(top)]

    def _is_main(self, top: str) -> bool:
        return top == self.name.partition(".")[0]

    def _offers(self, top: str) -> bool:
        """Whether the module that has a name is the one that the file's folders give for it."""
        module = sys.modules.get(top)
        if top == self.name:
            return _file_of(module) == str(self.path)
        place = self.offered.get(top)
        return place is not None and place in (_file_of(module), *_path_of(module))

    def _hides(self, top: str) -> bool:
        """Whether a name is taken that the file's folders have a module for: the file would get the wrong one."""
        is_ours = top == self.name or self.offered.get(top, "").endswith(".py")
        return is_ours and top not in sys.stdlib_module_names and top in sys.modules and not self._offers(top)


def _offered(folders: list[_Folder]) -> dict[str, str]:
    """Say where the folders' modules are: a module's file, a package's ``__init__.py``, or just its folder."""
    regular: dict[str, str] = {}
    spaces: dict[str, str] = {}
    for folder in folders:
        for entry in sorted(entries_of(folder), key=lambda entry: entry.suffix):  # a package goes before a module
            if entry.suffix == ".py":
                regular.setdefault(entry.stem, str(entry))
            elif os.path.isfile(entry / "__init__.py"):  # noqa: PTH113  False where pathlib raises: not ours to read
                regular.setdefault(entry.name, str(entry / "__init__.py"))
            elif entry.name.isidentifier() and os.path.isdir(entry):  # noqa: PTH112
                spaces.setdefault(entry.name, str(entry))
    return {**spaces, **regular}


def _module_name(path: Path, package: str) -> str:
    stem = path.parent.name if path.stem == "__init__" else path.stem
    name = stem.replace(".", "_")
    if package:
        return f"{package}.{name}"
    return f"{name}_" if name in sys.stdlib_module_names or name == "__main__" else name


def _marked() -> list[ModuleType]:
    return [module for module in list(sys.modules.values()) if _is_marked(module)]


def _is_marked(module: object) -> bool:
    return isinstance(module, ModuleType) and _STAMP in vars(module)


def _is_fresh(module: ModuleType) -> bool:
    return bool(vars(module)[_STAMP] == _stamp(module))


def _stamp(module: ModuleType) -> tuple[int, int] | None:
    """Give what tells that a module's file has changed."""
    try:
        status = os.stat(_file_of(module))  # noqa: PTH116  no file is no path, while Path("") is the current folder
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _file_of(module: object) -> str:
    """Name a module's file, without waking modules that load themselves lazily."""
    return str(vars(module).get("__file__") or "") if isinstance(module, ModuleType) else ""


def _path_of(module: object) -> Iterator[str]:
    if isinstance(module, ModuleType):
        yield from vars(module).get("__path__") or ()
