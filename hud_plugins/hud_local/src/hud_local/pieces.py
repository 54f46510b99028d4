"""Splits files of rows into pieces that are read at once, and pieces into the text of each row."""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hud_core.errors import TaskDataError
from hud_core.model.codec import decode_rows
from hud_local.imports import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hud_core.model.codec import TaskRow

PIECE_BYTES = 1 << 16
"""How much of a JSONL file is read at once; others in the event loop get their turn after each piece."""
LONGEST_LINE = 64 << 20
"""Bytes of a line; a longer one is a mistake, and reading it would fill the memory."""
_NEWLINE = b"\n"
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Json = bytes | msgspec.Raw


class Text(NamedTuple):
    """The text of one row, and where it is."""

    json: Json
    number: int
    place: str

    @property
    def where(self) -> str:
        """What problems call the row."""
        return f"tasks[{self.number}]"


class Piece(NamedTuple):
    """Whole rows of a file."""

    text: bytes
    name: str
    line: int | None
    """The number of its first line in a JSONL file; None for a JSON file, which is one piece."""

    def checked(self) -> list[TaskRow] | None:
        """Give the rows, or None when one may be wrong: then look at each of `texts`."""
        return decode_rows(self.text, lines=self.line is not None)

    def texts(self, first: int) -> Iterator[Text]:
        """Give the text of each row.

        Args:
            first: The number of the piece's first row in the file.
        """
        lines = [(self.text, self.name)] if self.line is None else self._lines(self.line)
        rows = ((json, place) for line, place in lines for json in _split(line))
        for number, (json, place) in enumerate(rows, first):
            yield Text(json, number, place)

    def _lines(self, first: int) -> Iterable[tuple[bytes, str]]:
        return ((line, f"{self.name}:{number}") for number, line in enumerate(self.text.split(b"\n"), first))


def pieces_of(path: Path) -> Iterator[Piece]:
    """Give a JSON file as one piece, and a JSONL file piece by piece.

    Raises:
        TaskDataError: A line is longer than any row is, or the file is in another encoding.
    """
    name = shown(path)
    if path.suffix != ".jsonl":
        yield Piece(_begun(path.read_bytes(), name), name, None)
        return
    line = 1
    with path.open("rb") as file:
        while text := file.read(PIECE_BYTES) + file.readline(LONGEST_LINE):
            if len(text) >= LONGEST_LINE and not text.endswith(b"\n"):
                where = f"{name}:{line + text.count(_NEWLINE)}"
                raise TaskDataError([f"a line longer than {LONGEST_LINE >> 20} MB @ {where}"])
            yield Piece(_begun(text, name) if line == 1 else text, name, line)
            line += text.count(b"\n")


def _begun(text: bytes, name: str) -> bytes:
    """Take off the mark with which editors begin a file."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:4]:  # UTF-16 or UTF-32, with a mark or without
        raise TaskDataError([f"not UTF-8 text; save it as UTF-8 @ {name}"])
    return text.removeprefix(_BYTE_ORDER_MARK)


def _split(line: bytes) -> Iterable[Json]:
    """Split a list into its items, without reading them. From what cannot be split on it is one row, which says why."""
    text = line.strip()
    if not text.startswith(b"["):
        return [text] if text else []
    try:
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return _before_damage(text) if len(text) <= LONGEST_LINE else [text]


def _before_damage(text: bytes) -> list[Json]:
    """Give the items of a list that is damaged or cut off up to the damage, and what follows as another one."""
    source = text.decode(errors="surrogateescape")
    decoder = JSONDecoder()
    rows: list[str] = []
    at = len(source) - len(source[1:].lstrip())
    while True:
        try:
            _, end = decoder.raw_decode(source, at)
        except (ValueError, RecursionError):
            rows.append(source[at:])
            break
        rows.append(source[at:end])
        after = _COMMA.match(source, end)
        if after is None:
            rows += [source[end:]] if source[end:].strip() != "]" else []
            break
        at = after.end()
    return [row.encode(errors="surrogateescape") for row in rows]
