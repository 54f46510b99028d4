"""Which files declare an environment, and how another process imports them and finds it there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from hud_core.model.task import Recipe

MAIN = "__mp_main__"
"""What a script is called where it is imported again; `multiprocessing` uses this name too."""


class Source(msgspec.Struct, frozen=True, array_like=True):
    """A module to import: its name and its file."""

    module: str
    file: str


# --- where the job is -------------------------------------------------------------------------------------------------


def sources_of(ref: Recipe | EnvRef) -> tuple[Source, ...]:
    """Name the modules to import for an environment: the one that declares it, and those of its functions.

    Raises:
        ConfigError: No file declares it, or its tools are mocked.
    """
    if isinstance(ref, EnvRef):
        return (_source_of_file(ref),)
    if not isinstance(ref, Environment):
        msg = f"backend 'process' opens an Environment or a reference to its file, got {type(ref).__name__} {ref!r}"
        raise ConfigError(msg)
    if ref.is_mock:
        msg = f"environment {ref.name!r} has mocked tools, in this process only; use backend 'local', or unmock() it"
        raise ConfigError(msg)
    origin = _source(str(ref.origin["module"]), ref.origin["file"])
    if origin is None:
        msg = (
            f"environment {ref.name!r} is declared in no file, so that no other process can import it; "
            "move it to a file, or use backend 'local'"
        )
        raise ConfigError(msg)
    others = (
        _source(name, getattr(sys.modules.get(name), "__file__", None)) for name in dict.fromkeys(_modules_of(ref))
    )
    return tuple(dict.fromkeys([origin, *filter(None, others)]))


def _source_of_file(ref: EnvRef) -> Source:
    given = ref.options.get("file")
    if unknown := ref.options.keys() - {"file"}:
        msg = f"environment {ref.name!r}: unknown options {', '.join(sorted(unknown))}; backend 'process' takes 'file'"
        raise ConfigError(msg)
    if not isinstance(given, str | Path):
        msg = f"environment {ref.name!r}: backend 'process' needs the option 'file', the file that declares it"
        raise ConfigError(msg)
    path = Path(given).absolute()
    if not path.is_file():
        msg = f"environment {ref.name!r}: no such file {str(path)!r}"
        raise ConfigError(msg)
    return Source(path.stem, str(path))


def _modules_of(environment: Environment) -> Iterator[str]:
    """Name the modules of the environment's functions: a scenario may stand in another file than its environment."""
    functions: list[Any] = [tool.function for tool in environment.tool_functions.values()]
    functions += [handle.function for handle in environment.scenarios.values()]
    for function in [*functions, *environment.on_initialize, *environment.on_shutdown]:
        yield getattr(function, "__module__", None) or type(function).__module__


def _source(module: str, file: str | None) -> Source | None:
    if file is None or not Path(file).is_file():
        return None
    if module == "__main__":
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = MAIN if spec is None else spec.name  # `python -m package.module` can be imported by that name
    return Source(module, str(Path(file).absolute()))


# --- where the environment is -----------------------------------------------------------------------------------------


def import_sources(sources: Iterable[Source]) -> dict[str, Environment]:
    """Import modules and give the environments that they hold, by name.

    Raises:
        Exception: Whatever a module raises.
    """
    modules = [import_source(source) for source in sources]
    found: dict[str, Environment] = {}
    for value in (value for module in modules for value in vars(module).values()):
        if isinstance(value, Environment) and found.setdefault(value.name, value) is not value:
            files = ", ".join(source.file for source in sources)
            msg = f"there are two environments {value.name!r} in {files}; give one of them another name"
            raise ConfigError(msg)
    return found


def import_source(source: Source) -> ModuleType:
    """Import a module under its name; out of its file where the name alone would find nothing, or something else."""
    folder = str(Path(source.file).parent)
    if "." not in source.module and not folder.startswith((sys.prefix, sys.base_prefix)):
        sys.path[:] = [folder, *(other for other in sys.path if other != folder)]  # its own imports are looked for here
    if source.module in sys.modules:
        return sys.modules[source.module]
    if _is_found(source):
        return importlib.import_module(source.module)
    return _import_file(source)


def _is_found(source: Source) -> bool:
    try:
        spec = importlib.util.find_spec(source.module)
    except (ImportError, ValueError, AttributeError):  # a parent package is missing, or is no package
        return False
    return spec is not None and spec.origin is not None and _is_same(spec.origin, source.file)


def _is_same(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def _import_file(source: Source) -> ModuleType:
    spec = importlib.util.spec_from_file_location(source.module, source.file)
    if spec is None or spec.loader is None:
        msg = f"{source.file!r} is no Python file"
        raise ConfigError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module] = module
    if source.module == MAIN:  # what the script pickles or looks up in `__main__` is found there too
        sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    return module
