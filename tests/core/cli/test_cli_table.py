"""Tables fit the window, whatever is in them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud.cli.console import Ink, first_line, plain
from hud.cli.table import cells, cut, render

INK = Ink(io.StringIO())


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=5), st.integers(20, 80))
def test_no_line_is_wider_than_the_window(rows: list[tuple[str, str]], width: int) -> None:
    lines = render(("task", "mean"), rows, ink=INK, width=width, right="lr")
    assert len(lines) == len(rows) + 1
    assert all(cells(line) <= width for line in lines)


@given(st.text(), st.integers(1, 20))
def test_a_text_is_cut_to_a_width(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    assert cut(text, width) == text or cut(text, width).endswith("…")


def test_wide_characters_take_two_cells() -> None:
    lines = render(("task", "n"), [("日本", "1"), ("abcd", "2"), ("é", "3")], ink=INK)
    assert [cells(line) for line in lines] == [7, 7, 7, 7]


def test_numbers_are_aligned_to_the_right() -> None:
    assert render(("a", "n"), [("x", "1"), ("y", "100")], ink=INK, right="lr") == ["a    n", "x    1", "y  100"]


def test_the_flexible_column_gives_way() -> None:
    lines = render(("task", "mean"), [("t" * 50, "0.500")], ink=INK, width=30)
    assert lines[1] == "t" * 22 + "…" + "  0.500"


@pytest.mark.parametrize("code", [0, 7, 8, 13, 27, 127, 0x9B])
def test_nothing_steers_the_terminal(code: int) -> None:
    assert chr(code) not in plain(f"a{chr(code)}[2Jb\n\tc")


def test_the_first_line_is_the_first_with_text() -> None:
    assert first_line("\n \n one\ntwo") == "one"
    assert first_line("x" * 300, 10) == "x" * 9 + "…"
    assert first_line("") == ""
