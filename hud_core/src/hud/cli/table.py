"""Tables for terminals and files, without a library: they are printed on paths that have a start-up budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud.cli.console import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud.cli.console import Ink

GAP = "  "
MIN_FLEXIBLE = 8
"""The least width that a column which gives way keeps."""


def cells(text: str) -> int:
    """Count the terminal cells that a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    import unicodedata  # plain ASCII, nearly always, has no use for it

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Shorten a text to a width, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    kept = ""
    for character in text:
        if cells(kept) + _cells_of(character) > width - 1:
            break
        kept += character
    return f"{kept}…"


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cells(text))
    return space + text if right else text + space


def render(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    ink: Ink,
    width: int | None = None,
    right: str = "",
    flexible: int = 0,
) -> list[str]:
    """Lay a table out, one line a row.

    Args:
        header: The columns' names.
        rows: The cells.
        ink: Colours for the header.
        width: Characters that fit on a line, None for any number.
        right: One letter for each column, ``r`` where it is aligned to the right.
        flexible: The column that gives way when the table is too wide.
    """
    texts = [[plain(cell).replace("\n", " ") for cell in row] for row in (header, *rows)]
    widths = [max(map(cells, column)) for column in zip(*texts, strict=True)]
    if width is not None:
        spare = width - sum(widths) - len(GAP) * (len(widths) - 1)
        widths[flexible] = max(min(widths[flexible], MIN_FLEXIBLE), widths[flexible] + min(spare, 0))
    lines = []
    for row in texts:
        padded = [
            _pad(cut(cell, size), size, right=right[place : place + 1] == "r")
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        line = GAP.join(padded).rstrip()
        lines.append(line if width is None else cut(line, width))
    return [ink.bold(lines[0]), *lines[1:]]
