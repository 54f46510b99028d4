"""What users' code raised: where to look, and who wants to hear of it."""

from __future__ import annotations

import contextvars
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from hud_core.errors import HudError

if TYPE_CHECKING:
    import traceback
    from collections.abc import Callable

_KERNEL = tuple(str(Path(file or "").parent) for file in (__file__, anyio.__file__, msgspec.__file__))
"""The folders of code through which everything of users' passes."""
current_listener: contextvars.ContextVar[Callable[[str, BaseException], None] | None] = contextvars.ContextVar(
    "hud_failure_listener", default=None
)
"""Told of each failure of users' code with what failed, such as ``"tool 'count'"``, and what it raised; None where
nobody listens. Agents and records have the text alone."""


def tell_failure(what: str, error: BaseException) -> None:
    """Tell whoever develops the environment what its code raised."""
    if (listener := current_listener.get()) is not None:
        listener(what, error)


def user_frames(error: BaseException, *own: str) -> list[traceback.FrameSummary]:
    """Give the lines of users' code that an exception came through, the innermost last.

    Args:
        error: The exception.
        own: Folders of the caller's code. Neither that is users' code, nor the kernel's, Python's, or that of an
            installed package.
    """
    libraries = _library_folders()
    return [frame for frame in _frames(error, own) if not frame.filename.startswith(libraries)]


def place_of(error: BaseException, *own: str) -> str:
    """Name the file and line to look at, as ``" (env.py:12)"``; empty where there is none.

    It is the innermost line of users' code, or else of a library. An error that was raised on purpose says all there
    is to say, unless users' code has caused it.

    Args:
        error: The exception.
        own: As for `user_frames`.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    is_told = isinstance(error, HudError)
    while isinstance(error, HudError):
        if error.__cause__ is None:
            return ""
        error = error.__cause__
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = user_frames(error, *own) or ([] if is_told else _frames(error, own))
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _frames(error: BaseException, own: tuple[str, ...]) -> list[traceback.FrameSummary]:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith((*_KERNEL, *own))]


def _library_folders() -> tuple[str, ...]:
    import sysconfig

    return ("<", *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")))
