"""The argument parser of every command: argparse, with shorter errors that name the closest option."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from hud.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.providers import Command


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(_columns() - 2, 100))


def _columns() -> int:
    """Give the terminal's width, as `shutil` does, whose import takes longer than all of the parser."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size().columns or 80
    except OSError:  # no terminal
        return 80


class Parser(argparse.ArgumentParser):
    """A parser of one command, or of a command's own subcommand."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **options)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse a command's words; arguments may stand between options, as in ``hud eval tasks.py --full nop``.

        An argument whose metavar begins with ``--`` takes what stands behind a ``--``, and only that.
        """
        passed_on = next((it for it in self._actions if str(it.metavar).startswith("-- ")), None)
        behind: list[str] = []
        if passed_on is not None and "--" in words:  # argparse would give other arguments some of it
            place = words.index("--")
            words, behind = words[:place], [*words[place + 1 :]]
        if self._subparsers is not None:  # argparse cannot mix those
            known, unknown = self.parse_known_args(words)
        else:
            known, unknown = self.parse_known_intermixed_args(words)
        if passed_on is not None:
            unknown += getattr(known, passed_on.dest)
            setattr(known, passed_on.dest, behind)
        if unknown:
            self._refuse(unknown[0].partition("=")[0], passed_on)
        return known

    def _refuse(self, word: str, passed_on: argparse.Action | None) -> NoReturn:
        from hud_core.errors import closest

        what = "option" if word.startswith("-") else "argument"
        fix = closest(word, self.option_words()) or ("" if passed_on is None else f"; {passed_on.help}")
        self.error(f"unknown {what} {word!r}{fix}")

    def option_words(self) -> list[str]:
        """Give every option in every spelling."""
        return [word for action in self._actions for word in action.option_strings]

    def print_help(self, file: Any = None) -> None:  # noqa: ANN401  argparse's own type has no name
        """Print the help; argparse would not notice that nobody reads it."""
        (sys.stdout if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and exit."""
        from hud.cli.console import complain

        complain("error", f"{message}; see {self.prog} --help")
        sys.exit(Exit.USAGE)


def parser_for(command: Command) -> Parser:
    """Make the parser of a command."""
    parser = Parser(prog=f"hud {command.name}", description=command.summary)
    command.configure(parser)
    return parser
