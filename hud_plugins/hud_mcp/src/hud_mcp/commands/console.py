"""What the commands print: results on stdout, talk on stderr, nothing that could steer the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def plain(text: str) -> str:
    """Show what would steer a terminal instead of obeying it."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def say(text: str = "", end: str = "\n") -> None:
    """Tell the person at the terminal something."""
    sys.stderr.write(f"{plain(text)}{end}")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def stdout_is_talk() -> Iterator[None]:
    """Send to stderr whatever code of the project, or a process it starts, prints meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
