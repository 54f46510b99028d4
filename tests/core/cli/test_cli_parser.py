"""What stands behind ``--`` on a command line."""

from __future__ import annotations

import argparse

import pytest

from hud.cli.parser import parser_for
from hud_core.providers import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", default=".")
    parser.add_argument("others", nargs="*", metavar="-- ARG", help="those of others stand behind a --")
    parser.add_argument("-v", action="store_true")


PARSER = Command("try", "try it", _configure, lambda _: 0)


@pytest.mark.parametrize(
    ("words", "target", "others", "option"),
    [
        ([], ".", [], False),
        (["x", "-v"], "x", [], True),
        (["--", "-v", "x"], ".", ["-v", "x"], False),
        (["-v", "--", "-v"], ".", ["-v"], True),
        (["x", "-v", "--", "y", "--", "z"], "x", ["y", "--", "z"], True),
    ],
)
def test_what_stands_behind_dashes_is_passed_on(words: list[str], target: str, others: list[str], option: bool) -> None:
    found = parser_for(PARSER).parse(words)
    assert (found.target, found.others, found.v) == (target, others, option)


@pytest.mark.parametrize(("words", "what"), [(["x", "y"], "argument 'y'"), (["x", "--memory", "1g"], "option '--memo")])
def test_what_does_not_is_refused(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser_for(PARSER).parse(words)
    said = capsys.readouterr().err
    assert f"unknown {what}" in said
    assert "those of others stand behind a --" in said
