"""What a child writes to its standard output and error: into a file, and from there into the rollout's record.

A file never makes a child wait for a reader, holds what came right before a crash, and takes in what C code and
subprocesses write.
"""

from __future__ import annotations

import os
import sys
import tempfile

from hud_core.trace import current_recorder, log_line

MAX_OUTPUT = 1 << 20
"""Bytes of a rollout's output that are read at the most."""
_CHUNK = 1 << 16


class Output:
    """One child's output."""

    __slots__ = ("_file", "_offset", "_rest")

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  open as long as the child
        self._offset = 0
        self._rest = b""

    def fileno(self) -> int:
        """The file descriptor for the child to write to."""
        return self._file.fileno()

    def publish(self) -> None:
        """Record the lines that have come; outside a rollout, write them to standard error."""
        while self._offset < MAX_OUTPUT and (chunk := os.pread(self.fileno(), _CHUNK, self._offset)):
            self._offset += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                _publish(line)
            if self._offset >= MAX_OUTPUT:
                _publish(b"(there is more output; it is left out)")

    def close(self) -> None:
        """Record what is left, and let go of the file."""
        if not self._file.closed:
            self.publish()
            if self._rest:
                _publish(self._rest)
            self._file.close()


def _publish(line: bytes) -> None:
    text = line.decode(errors="replace")
    if current_recorder.get() is None:
        print(text, file=sys.stderr)  # noqa: T201  where the environment's own output would have gone
    else:
        log_line(text, source="environment")
