"""Finds the environment that a command was given: its module, and in it the variable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError, closest
from hud_mcp.project.dockerfiles import NEEDED, has_dockerfile
from hud_mcp.project.mistakes import shown

if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("env", "mcp", "environment", "server")
"""What an environment's variable is called, where a module has several."""
_SERVERS = ("FastMCP", "MCPServer", "Server")


@frozen
class Target:
    """Where an environment is: a module of a folder, and the variable that holds it."""

    folder: Path
    """The folder that the module's name is looked up in."""
    module: str
    attribute: str | None = None

    def __str__(self) -> str:
        """What names it from any folder."""
        return f"{self.file}:{self.attribute}" if self.attribute else str(self.file)

    @property
    def file(self) -> Path:
        """The module's file."""
        path = self.folder.joinpath(*self.module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


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
        raise ConfigError(_no_module(name, folder) if text else _nothing(folder))
    return _target(path.resolve(), attribute or None)


def _no_module(name: str, folder: Path) -> str:
    guess = closest(name.removesuffix(".py"), [file.stem for file in folder.glob("*.py")])
    return f"no module {name!r} in {folder}{guess or '; name one, as in env:env'}"


def _nothing(folder: Path) -> str:
    if has_dockerfile(folder):
        return (
            f"no env.py and no __init__.py in {folder}, but a Dockerfile: {NEEDED}; "
            "to serve Python code of this folder, name its module, as in env:env"
        )
    return f"no env.py and no __init__.py in {folder}; name the module that has the environment, as in env:env"


def _target(path: Path, attribute: str | None) -> Target:
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return Target(folder, ".".join(parts), attribute)


def find_environment(module: ModuleType, attribute: str | None = None) -> Environment:
    """Find a module's environment: the variable asked for, the only one, or the one with a usual name.

    A server object of the mcp SDK or of FastMCP counts, too.

    Raises:
        ConfigError: There is none, or one cannot tell which.
    """
    found = {name: value for name, value in vars(module).items() if is_served(value)}
    if attribute:
        return _served(_named(module, attribute, found))
    if len({id(value) for value in found.values()}) == 1:
        return _served(next(iter(found.values())))
    for name in NAMES:
        if name in found:
            return _served(found[name])
    hint = f"say which: {module.__name__}:{next(iter(found))}" if found else "add env = Environment('my-env')"
    msg = f"{shown(str(module.__file__))} has {f'{len(found)} environments' if found else 'no Environment'}; {hint}"
    raise ConfigError(msg)


def is_served(value: object) -> bool:
    """Whether something is an environment, or a server object; found out without importing what makes those."""
    return isinstance(value, Environment) or any(
        kind.__name__ in _SERVERS and kind.__module__.partition(".")[0] in ("mcp", "fastmcp")
        for kind in type(value).__mro__
    )


def _served(value: Any) -> Environment:  # noqa: ANN401  what a module holds
    if isinstance(value, Environment):
        return value
    from hud_mcp.project.adopted import AdoptedServer

    return AdoptedServer(value)


def _named(module: ModuleType, attribute: str, found: dict[str, Any]) -> object:
    if attribute in found:
        return found[attribute]
    value = vars(module).get(attribute)
    if value is not None:
        msg = f"{module.__name__}:{attribute} is {type(value).__name__}, not an Environment"
    else:
        msg = f"{shown(str(module.__file__))} has no {attribute!r}{closest(attribute, found)}"
    raise ConfigError(msg)
