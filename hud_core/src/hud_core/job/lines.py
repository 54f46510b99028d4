"""Files of JSON lines, as run directories have them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hud_core.errors import RunDirectoryError

if TYPE_CHECKING:
    from pathlib import Path

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


class LineFile:
    """A file of JSON lines that is only ever appended to, and never left with a torn line.

    Raises:
        RunDirectoryError: The file cannot be opened or written; what it holds stays readable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._end = _drop_torn_line(self._file)
        except OSError as error:
            raise unwritable(path, error) from error

    def append(self, lines: bytes) -> None:
        """Write whole lines, or nothing."""
        try:
            written = os.write(self._file, lines)
        except OSError as error:
            raise unwritable(self._path, error) from error
        if written != len(lines):
            os.ftruncate(self._file, self._end)
            raise unwritable(self._path, OSError(28, os.strerror(28)))
        self._end += written

    def sync(self) -> None:
        """Wait until everything is on the disk; blocks."""
        _sync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _drop_torn_line(file: int) -> int:
    """Cut what is behind the last newline, and give the length that is left."""
    end = os.fstat(file).st_size
    block = 1 << 16
    start = end
    while start > 0:
        start = max(0, start - block)
        found = os.pread(file, block, start).rfind(b"\n")
        if found >= 0:
            start += found + 1
            break
    if start != end:
        os.ftruncate(file, start)
    return start


def unwritable(path: Path, error: OSError) -> RunDirectoryError:
    """Say that a file of a run directory cannot be written."""
    return RunDirectoryError(
        f"cannot write {path}: {error.strerror}; the job stops here, what is in {path.parent} stays readable "
        "and the job can be resumed"
    )
