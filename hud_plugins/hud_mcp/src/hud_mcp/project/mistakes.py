"""Says what went wrong in users' code, with the file and the line to look at."""

from __future__ import annotations

import os
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError, HudError, describe
from hud_core.failures import user_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OWN = str(Path(__file__).parents[1])
_LINES = 5
"""How many lines of users' code are shown."""


@contextmanager
def explained(module: str, file: Path, folders: Sequence[Path]) -> Iterator[None]:
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
        where = _where(error, folders) or shown(str(file))
        raise ConfigError(f"cannot import {module}: {told}\n  {where}") from error


def _told(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(traceback.TracebackException.from_exception(error).format_exception_only()).strip()


def _where(error: BaseException, folders: Sequence[Path]) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(error.filename)}:{error.lineno or 1}: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [it for it in frames if any(Path(it.filename).is_relative_to(folder) for folder in folders)]
    own = [it for it in own if "site-packages" not in it.filename]
    return f"{shown(own[-1].filename)}:{own[-1].lineno}: {own[-1].line}" if own else None


def account_of(error: BaseException) -> list[str]:
    """Give the lines of users' code that an exception came through, the innermost first.

    Where a library raised it, its line comes last.
    """
    users = user_frames(error, _OWN)
    raised = traceback.extract_tb(error.__traceback__)[-1:]
    return [_line(frame) for frame in (*users[: -_LINES - 1 : -1], *(frame for frame in raised if frame not in users))]


def whole_account_of(error: BaseException) -> list[str]:
    """Give the lines of an exception's whole traceback, and of what caused it."""
    return "".join(traceback.format_exception(error)).rstrip().splitlines()


def _line(frame: traceback.FrameSummary) -> str:
    return f"{shown(frame.filename)}:{frame.lineno}, in {frame.name}: {frame.line}"


def shown(path: str) -> str:
    """Show a path: relative where it is in the current folder."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
