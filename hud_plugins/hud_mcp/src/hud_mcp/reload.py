"""Imports the Python files of a project, and imports again what changed while the rest keeps running.

Modules are replaced, never changed in place: functions of the old ones keep their globals, so calls in flight end on
the code that they began with. An import that fails leaves everything as it was.
"""

from __future__ import annotations

import ast
import copy
import importlib
import os
import sys
import threading
import traceback
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError, HudError, closest, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType

NAMES = ("env", "mcp", "environment", "server")
"""What an environment's variable is called, where a module has several."""
_PLAIN = (type(None), bool, int, float, str, bytes)


@frozen
class Target:
    """Where an environment is: a module of a folder, and the variable that holds it."""

    folder: Path
    """The folder that the module's name is looked up in."""
    module: str
    attribute: str | None = None

    @property
    def file(self) -> Path:
        """The module's file."""
        path = self.folder.joinpath(*self.module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


@frozen
class _Loaded:
    """A module as it was right after its import."""

    module: ModuleType
    source: bytes
    imports: frozenset[str]
    state: dict[str, Any] = field(repr=False)
    """Its globals that are plain data."""


def find_target(text: str | None, folder: Path) -> Target:
    """Read ``MODULE[:ATTR]``: the name of a module, or of its file or folder.

    Args:
        text: What the user wrote; None looks for an ``env.py`` or an ``__init__.py``.
        folder: The current folder.

    Raises:
        ConfigError: There is no such module.
    """
    name, _, attribute = (text or ".").partition(":")
    path = folder / name
    if not (name.endswith(".py") or path.is_dir()):
        path = folder.joinpath(*name.split("."))
        path = path if path.is_dir() else path.with_name(f"{path.name}.py")
    if path.is_dir():
        path = path / ("env.py" if (path / "env.py").is_file() else "__init__.py")
    if not path.is_file():
        msg = f"no module {name!r} in {folder}; name one, as in `hud dev env:env`" if text else _nothing(folder)
        raise ConfigError(msg)
    return _target(path.resolve(), attribute or None)


def _nothing(folder: Path) -> str:
    return f"no env.py and no __init__.py in {folder}; name the module that has the environment: `hud dev env:env`"


def _target(path: Path, attribute: str | None) -> Target:
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return Target(folder, ".".join(parts), attribute)


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
        finder, folder = _Finder(self), str(self.target.folder)
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
        return any(isinstance(value, Environment) and value.origin["module"] == name for value in values)

    def _load(self, names: set[str]) -> Environment:
        with self._lock:
            before = dict(self._loaded)
            self._tried = set()
            self._previous = {name: self._loaded.pop(name) for name in names if name in self._loaded}
            for name in names:
                _forget(name)
            importlib.invalidate_caches()
            try:
                with _explained(self.target, self._folders):
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
        state = {name: copy.deepcopy(value) for name, value in vars(module).items() if _is_state(name, value)}
        self._loaded[module.__name__] = _Loaded(module, source, frozenset(imports | self._importing[-1]), state)
        if self._keep_state and (old := self._previous.get(module.__name__)):
            _carry(old, module, state)

    def leave(self) -> None:
        """Note that an import is over, well or not."""
        self._importing.pop()


class _Finder(MetaPathFinder):
    """Finds the project's modules, for `_Loader`."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if (
            spec is None
            or not isinstance(spec.loader, SourceFileLoader)
            or not self._project.owns(fullname, spec.loader.path)
        ):
            return None
        spec.loader = _Loader(fullname, spec.loader.path, self._project)
        return spec


class _Loader(SourceFileLoader):
    """Loads a module from its source, never from a cache: there, two saves within a second may look alike."""

    def __init__(self, fullname: str, path: str, project: Project) -> None:
        super().__init__(fullname, path)
        self._project = project
        self._source = b""
        self._imports: set[str] = set()

    def get_code(self, fullname: str) -> CodeType:
        self._source = self.get_data(self.path)
        tree = ast.parse(self._source, self.path)
        package = fullname if self.is_package(fullname) else fullname.rpartition(".")[0]
        self._imports = set(_imports(tree, package))
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        self._project.begin(module.__name__, self.path)
        try:
            super().exec_module(module)
            self._project.end(module, self._source, self._imports)
        finally:
            self._project.leave()


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Name every module that a file may import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


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


# --- state ------------------------------------------------------------------------------------------------------------


def _carry(old: _Loaded, module: ModuleType, state: dict[str, Any]) -> None:
    """Keep what a program has made of its globals, unless the file now begins with another value."""
    for name, first in state.items():
        now = vars(old.module).get(name)
        same = name in old.state and type(old.state[name]) is type(first) and old.state[name] == first
        if same and _is_state(name, now):
            setattr(module, name, now)


def _is_state(name: str, value: object) -> bool:
    return not name.startswith("__") and _is_plain(value)


def _is_plain(value: object, depth: int = 8) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) is dict:
        return depth > 0 and all(_is_plain(item, depth - 1) for pair in value.items() for item in pair)
    return type(value) in (list, tuple, set) and depth > 0 and all(_is_plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]


# --- finding, explaining ----------------------------------------------------------------------------------------------


def find_environment(module: ModuleType, attribute: str | None = None) -> Environment:
    """Find a module's environment: the variable asked for, the only one, or the one with a usual name.

    Raises:
        ConfigError: There is none, or one cannot tell which.
    """
    found = {name: value for name, value in vars(module).items() if isinstance(value, Environment)}
    if attribute:
        return _named(module, attribute, found)
    if len({id(value) for value in found.values()}) == 1:
        return next(iter(found.values()))
    for name in NAMES:
        if name in found:
            return found[name]
    hint = f"say which: {module.__name__}:{next(iter(found))}" if found else "add env = Environment('my-env')"
    msg = f"{_shown(str(module.__file__))} has {f'{len(found)} environments' if found else 'no Environment'}; {hint}"
    raise ConfigError(msg)


def _named(module: ModuleType, attribute: str, found: dict[str, Environment]) -> Environment:
    if attribute in found:
        return found[attribute]
    value = vars(module).get(attribute)
    if value is not None:
        msg = f"{module.__name__}:{attribute} is {type(value).__name__}, not an Environment"
        if hasattr(value, "list_tools"):
            msg += f"; put it into one: env.connect_server({attribute})"
    else:
        msg = f"{_shown(str(module.__file__))} has no {attribute!r}{closest(attribute, found)}"
    raise ConfigError(msg)


@contextmanager
def _explained(target: Target, folders: Sequence[Path]) -> Iterator[None]:
    """Raise what goes wrong in an import with the file and the line to look at."""
    try:
        yield
    except ConfigError as error:
        where = _where(error, folders)
        if where is None:
            raise
        raise ConfigError(f"{describe(error)}\n  {where}") from error
    except (Exception, SystemExit) as error:
        told = describe(error) if isinstance(error, HudError) else _told(error)
        where = _where(error, folders) or _shown(str(target.file))
        raise ConfigError(f"cannot import {target.module}: {told}\n  {where}") from error


def _told(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(traceback.TracebackException.from_exception(error).format_exception_only()).strip()


def _where(error: BaseException, folders: Sequence[Path]) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno or 1}: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [it for it in frames if any(Path(it.filename).is_relative_to(folder) for folder in folders)]
    own = [it for it in own if "site-packages" not in it.filename]
    return f"{_shown(own[-1].filename)}:{own[-1].lineno}: {own[-1].line}" if own else None


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
