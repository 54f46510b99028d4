"""Names that are imported when they are first used, and names that live in a plugin that may not be installed."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy(
    module: str,
    homes: Mapping[str, str],
    plugins: Mapping[str, tuple[str, str]] | None = None,
    gone: Mapping[str, str] | None = None,
) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a facade module.

    Args:
        module: The facade module's name.
        homes: For each name where it lives, as ``package.module:name``.
        plugins: For each name that a plugin provides, where it lives and the distribution to install.
        gone: For each name that hud-python had and nothing here has, what takes its place.

    Returns:
        A function that imports a name on first use. It raises ImportError when a plugin is not installed, naming the
        distribution, and for a name that is gone, and AttributeError for any other name.
    """
    plugins, gone = plugins or {}, gone or {}

    def __getattr__(name: str) -> object:  # noqa: N807  it becomes the module's own
        if name in homes:
            return _load(homes[name])
        if name in plugins:
            return _from_plugin(name, *plugins[name])
        if name in gone:
            msg = f"{module} has no {name!r}: {gone[name]}"
            raise ImportError(msg)
        msg = f"module {module!r} has no attribute {name!r}"
        raise AttributeError(msg)

    return __getattr__


def of_plugin(module: str, home: str, distribution: str) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a facade module whose every name lives in one module of a plugin."""

    def __getattr__(name: str) -> object:  # noqa: N807  it becomes the module's own
        if name.startswith("__"):
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return _from_plugin(name, f"{home}:{name}", distribution)

    return __getattr__


def _load(home: str) -> object:
    module, _, name = home.partition(":")
    value: object = getattr(importlib.import_module(module), name)
    return value


def _from_plugin(name: str, home: str, distribution: str) -> object:
    package = home.partition(":")[0].partition(".")[0]
    try:
        return _load(home)
    except ModuleNotFoundError as error:
        if sys.modules.get(package) is not None or (error.name or "").partition(".")[0] != package:
            raise  # the plugin is there, and something in it, or that it needs, is missing
        msg = f"{name!r} is part of {distribution}, which is not installed: pip install {distribution}"
        raise ImportError(msg, name=error.name) from error
