"""What commands print: colours where they are wanted, nothing that could steer the terminal, data apart from talk."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Text of models and environments may hold escape sequences: they are shown, not obeyed.
_CONTROLS = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"
}
_CONTROLS[ord("\r")] = ""


def plain(text: str) -> str:
    """Take out of a text what would steer a terminal."""
    return text.translate(_CONTROLS)


def first_line(text: str, length: int = 200) -> str:
    """Give the first line of a text that is not empty, cut to a length."""
    line = next(filter(None, map(str.strip, plain(text).splitlines())), "")
    return line if len(line) <= length else f"{line[: length - 1]}…"


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person looks at this stream."""
    try:
        return stream.isatty()
    except ValueError:
        return False  # it is closed


def can_ask() -> bool:
    """Whether there is a person who could answer a question."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def width_of(stream: IO[str]) -> int | None:
    """Give how many characters fit on a line; None where there is no terminal, and so no limit."""
    if not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


class Ink:
    """Colours for one stream; none where it is no terminal, or ``NO_COLOR`` is set.

    Args:
        stream: Where the text will be printed.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._is_on = is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_on and text else text

    def bold(self, text: str) -> str:
        """Emphasise."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Step back."""
        return self._paint("2", text)

    def red(self, text: str) -> str:
        """Say that something failed."""
        return self._paint("31", text)

    def yellow(self, text: str) -> str:
        """Warn."""
        return self._paint("33", text)

    def green(self, text: str) -> str:
        """Say that something is well."""
        return self._paint("32", text)

    def cyan(self, text: str) -> str:
        """Set a heading apart."""
        return self._paint("36", text)


def emit(text: str) -> None:
    """Print a result: what a program that calls us reads."""
    sys.stdout.write(f"{text}\n")


def say(text: str = "", end: str = "\n") -> None:
    """Tell the person at the terminal something; it is no result."""
    sys.stderr.write(f"{text}{end}")
    sys.stderr.flush()


def complain(kind: str, text: str) -> None:
    """Report an error or a warning."""
    ink = Ink(sys.stderr)
    colour = ink.red if kind == "error" else ink.yellow
    say(f"{colour(kind)}: {plain(text)}")


def ask(question: str) -> str:
    """Ask the person at the terminal; the question is talk, so it goes to stderr.

    Raises:
        EOFError: The input ended.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with _interruptible():
        say(question, end="")
        line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a wait for input, also inside a running job, where the handler waits for the event loop."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stdout_is_talk() -> Iterator[None]:
    """Send to stderr whatever is printed meanwhile, by any code and any child process: stdout is for the result."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # the program that embeds us runs without them
        yield
        return
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
