"""Imports the Python files of a project, and imports again what changed while the rest keeps running.

Modules are replaced, never changed in place: functions of the old ones keep their globals, so calls in flight end on
the code that they began with. An import that fails leaves everything as it was.
"""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError
from hud_mcp.project.loader import Finder
from hud_mcp.project.mistakes import explained
from hud_mcp.project.state import carry, plain_globals
from hud_mcp.project.targets import find_environment, is_served

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hud_mcp.project.targets import Target


@frozen
class _Loaded:
    """A module as it was right after its import."""

    module: ModuleType
    source: bytes
    imports: frozenset[str]
    state: dict[str, Any] = field(repr=False)
    """Its globals that are plain data."""


class Project:
    """The modules of one environment.

    Args:
        target: Where the environment is.
        folders: More folders whose modules are the project's, besides the target's own.
        keep_state: Whether modules that are imported again keep their globals that are plain data.
    """

    def __init__(self, target: Target, folders: Sequence[Path] = (), *, keep_state: bool = False) -> None:
        self.target = target
        self._folders = [target.folder.resolve(), *(path.resolve() for path in folders)]
        self._keep_state = keep_state
        self._loaded: dict[str, _Loaded] = {}
        self._previous: dict[str, _Loaded] = {}
        self._importing: list[set[str]] = []
        self._tried: set[Path] = set()
        self._names: set[str] = set()
        self._lock = threading.RLock()

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Have Python look for the project's modules, meanwhile; they are dropped afterwards."""
        finder, folder = Finder(self), str(self.target.folder)
        sys.meta_path.insert(0, finder)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            sys.path.remove(folder)
            for name, loaded in self._loaded.items():
                if sys.modules.get(name) is loaded.module:
                    del sys.modules[name]

    @property
    def files(self) -> set[Path]:
        """The files of the modules that were imported, and of those whose import failed the last time."""
        return {Path(str(loaded.module.__file__)) for loaded in list(self._loaded.values())} | self._tried

    def load(self) -> Environment:
        """Import the environment.

        Raises:
            ConfigError: The module cannot be imported, or has no environment; the message has the file and the line.
        """
        if self.target.module in sys.modules and self.target.module not in self._loaded:
            msg = f"a module {self.target.module!r} of Python or of a package is there already; rename your file"
            raise ConfigError(msg)
        return self._load(set())

    def reload(self, *, everything: bool = False) -> tuple[Environment, list[str]] | None:
        """Import again what changed, what depends on it, and the environment.

        Args:
            everything: Whether all of the project's modules count as changed.

        Returns:
            The environment and the names of the modules; None when nothing changed.

        Raises:
            ConfigError: As for `load`; the modules are those from before.
        """
        changed = {name for name, loaded in list(self._loaded.items()) if everything or _is_stale(loaded)}
        if not changed:
            return None
        names = self._affected(changed)
        return self._load(names), sorted(names)

    def _affected(self, changed: set[str]) -> set[str]:
        # The environment's module always: tools that register themselves again need a fresh environment to do so.
        names = changed | {self.target.module} | {name for name in self._loaded if self._declares(name)}
        while more := {name for name, it in self._loaded.items() if name not in names and it.imports & names}:
            names |= more
        return names

    def _declares(self, name: str) -> bool:
        values = vars(self._loaded[name].module).values()
        return any(
            value.origin["module"] == name if isinstance(value, Environment) else is_served(value) for value in values
        )

    def _load(self, names: set[str]) -> Environment:
        with self._lock:
            before = dict(self._loaded)
            self._tried = set()
            self._previous = {name: self._loaded.pop(name) for name in names if name in self._loaded}
            for name in names:
                _forget(name)
            importlib.invalidate_caches()
            try:
                with explained(self.target.module, self.target.file, self._folders):
                    return find_environment(importlib.import_module(self.target.module), self.target.attribute)
            except BaseException:
                self._restore(before)
                raise
            finally:
                self._previous = {}

    def _restore(self, before: dict[str, _Loaded]) -> None:
        for name in self._loaded.keys() - before.keys():
            _forget(name)
        self._loaded = before
        for name, loaded in before.items():
            sys.modules[name] = loaded.module
            package, _, child = name.rpartition(".")
            if package in sys.modules:
                setattr(sys.modules[package], child, loaded.module)

    # --- what the import system asks ----------------------------------------------------------------------------------

    def owns(self, name: str, file: str) -> bool:
        """Whether a module is one of the project's: it is in one of its folders, or in a package of the project."""
        path, (top, _, inner) = Path(file), name.partition(".")
        if inner:
            package = sys.modules.get(top)
            is_ours = top in self._names or getattr(package, "__file__", None) is None
            return is_ours and any(path.is_relative_to(folder) for folder in self._folders)
        return (path.parent.parent if path.stem == "__init__" else path.parent) in self._folders

    def begin(self, name: str, file: str) -> None:
        """Note that a module begins to be imported, maybe by one that is being imported."""
        self._names.add(name)
        self._tried.add(Path(file))
        if self._importing:
            self._importing[-1].add(name)
        self._importing.append(set())

    def end(self, module: ModuleType, source: bytes, imports: set[str]) -> None:
        """Note a module that was imported, and give it the state of the one before."""
        state = plain_globals(module)
        self._loaded[module.__name__] = _Loaded(module, source, frozenset(imports | self._importing[-1]), state)
        if self._keep_state and (old := self._previous.get(module.__name__)):
            carry(old.module, old.state, module, state)

    def leave(self) -> None:
        """Note that an import is over, well or not."""
        self._importing.pop()


def _forget(name: str) -> None:
    """Drop a module, also from its package: `from . import name` would find it there."""
    module = sys.modules.pop(name, None)
    package, _, child = name.rpartition(".")
    if module is not None and vars(sys.modules.get(package, module)).get(child) is module:
        delattr(sys.modules[package], child)


def _is_stale(loaded: _Loaded) -> bool:
    try:
        return Path(str(loaded.module.__file__)).read_bytes() != loaded.source
    except OSError:
        return True
