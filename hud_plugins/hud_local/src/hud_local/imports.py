"""Explains why a user's Python file cannot be imported: what, where, which line, and what to do."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hud_core.errors import ConfigError, HudError, closest, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DISTRIBUTIONS = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dotenv": "python-dotenv",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What to install for modules whose distribution has another name."""


class Line(NamedTuple):
    """A line of somebody's code."""

    file: str
    number: int
    text: str


@contextmanager
def explained(path: Path, folders: Sequence[str]) -> Iterator[None]:
    """Raise what goes wrong inside as a `ConfigError` that shows the line to look at, and a fix.

    Args:
        path: The file that is imported.
        folders: Where its project's modules are; of several lines the last one there is shown.
    """
    try:
        yield
    except Exception as error:
        raise ConfigError(_message(path, folders, error)) from error
    except SystemExit as error:
        raise ConfigError(_message(path, folders, error)) from error


def _message(path: Path, folders: Sequence[str], error: BaseException) -> str:
    lines = [f"cannot import {shown(path)}: {_what(error)}"]
    if line := _where(error, folders):
        lines.append(f"  {shown(line.file)}:{line.number}" + (f": {line.text}" if line.text else ""))
    if fix := _fix(error, path, folders):
        lines.append(f"  fix: {fix}")
    return "\n".join(lines)


def shown(path: Path | str) -> str:
    """Give a path as short as it can be read: relative to the current folder when it is inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _what(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, HudError):
        return describe(error)
    told = traceback.TracebackException.from_exception(error)  # adds Python's own "Did you mean"
    return "".join(told.format_exception_only()).strip()


def _where(error: BaseException, folders: Iterable[str]) -> Line | None:
    """Find the line to look at: the last one in the user's own files."""
    if isinstance(error, SyntaxError) and error.filename:
        return Line(error.filename, error.lineno or 1, (error.text or "").strip())
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename, folders)]
    if not own:
        return None
    frame = own[-1]
    number = frame.lineno or 1
    return Line(frame.filename, number, linecache.getline(frame.filename, number).strip())


def _is_own(file: str, folders: Iterable[str]) -> bool:
    return "site-packages" not in file and any(Path(file).is_relative_to(folder) for folder in folders)


def _fix(error: BaseException, path: Path, folders: Sequence[str]) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _install(error.name, folders)
    if isinstance(error, ImportError):
        return _other_name(error, path)
    if isinstance(error, SystemExit):
        return "the file ends the process when it is imported; put that under `if __name__ == '__main__':`"
    if isinstance(error, RuntimeError) and "running event loop" in str(error):
        return "the file runs its own event loop when it is imported; put that under `if __name__ == '__main__':`"
    return ""


def _install(module: str, folders: Sequence[str]) -> str:
    top = module.partition(".")[0]
    local = {entry.stem for folder in folders for entry in entries_of(folder) if entry.stem.isidentifier()}
    if top in local:
        return f"{top!r} is there, {module!r} is not in it; check its spelling, and that {top} has an __init__.py"
    if guess := closest(top, local).removeprefix("; "):
        return guess
    return f"pip install {DISTRIBUTIONS.get(top, top.replace('_', '-'))}, unless {top!r} is misspelt"


def entries_of(folder: str) -> list[Path]:
    """Give what is in a folder; nothing where it cannot be read."""
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []


def _other_name(error: ImportError, path: Path) -> str:
    if "relative import" in str(error):
        return f"give the folder {shown(path.parent)} instead of the file, so that it is imported as a package"
    names = vars(sys.modules[error.name]) if error.name in sys.modules else {}
    wanted = str(error).partition("cannot import name ")[2].partition("'")[2].partition("'")[0]
    return closest(wanted, names).removeprefix("; ") if wanted else ""
