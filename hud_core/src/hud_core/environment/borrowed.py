"""What an environment can do that is a plugin's work, found when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any


def borrow(module: str, name: str, distribution: str, what: str) -> Any:  # noqa: ANN401  a function of the plugin
    """Give a function of a plugin.

    Args:
        module: Where it is.
        name: What it is called there.
        distribution: What has to be installed for it.
        what: What the plugin is wanted for, in words.

    Raises:
        ImportError: The plugin is not installed, or something that it needs.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # something that the plugin itself needs is missing
        msg = f"{what} is part of {distribution}, which is not installed: pip install {distribution} ({name})"
        raise ImportError(msg, name=error.name) from error
