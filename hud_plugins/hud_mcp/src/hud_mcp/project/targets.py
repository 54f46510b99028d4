"""Finds the environment that a command was given: its module, and in it the variable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError, closest
from hud_mcp.project.mistakes import shown

if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("env", "mcp", "environment", "server")
"""What an environment's variable is called, where a module has several."""


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
    return f"no module {name!r} in {folder}{guess or '; name one, as in `hud dev env:env`'}"


def _nothing(folder: Path) -> str:
    if any((folder / name).is_file() for name in ("Dockerfile", "Dockerfile.hud")):
        return (
            f"no env.py and no __init__.py in {folder}, but a Dockerfile: what runs in a container needs hud-docker "
            "(pip install hud-docker); to serve Python code of this folder, name its module: `hud dev env:env`"
        )
    return f"no env.py and no __init__.py in {folder}; name the module that has the environment: `hud dev env:env`"


def _target(path: Path, attribute: str | None) -> Target:
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return Target(folder, ".".join(parts), attribute)


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
    msg = f"{shown(str(module.__file__))} has {f'{len(found)} environments' if found else 'no Environment'}; {hint}"
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
        msg = f"{shown(str(module.__file__))} has no {attribute!r}{closest(attribute, found)}"
    raise ConfigError(msg)
