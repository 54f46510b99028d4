"""What the commands print: results on stdout, talk on stderr, nothing that could steer the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def plain(text: str) -> str:
    """Show what would steer a terminal instead of obeying it."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def say(text: str = "", end: str = "\n") -> None:
    """Tell the person at the terminal something."""
    sys.stderr.write(f"{plain(text)}{end}")
    sys.stderr.flush()


def emit(text: str, stream: TextIO | None = None) -> None:
    """Print a result."""
    stream = stream or sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


@contextmanager
def stdout_is_talk() -> Iterator[TextIO]:
    """Send to stderr whatever code of the project, or a process it starts, prints meanwhile; gives the real stdout."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace") as kept:
        os.dup2(2, 1)
        try:
            yield kept
        finally:
            sys.stdout.flush()
            os.dup2(kept.fileno(), 1)
