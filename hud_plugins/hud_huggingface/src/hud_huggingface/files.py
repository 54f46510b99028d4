"""Rows out of files: JSON, JSONL, CSV, TSV and Parquet, one row after the other, never a file as a whole."""

from __future__ import annotations

import csv
import io
import json
import zlib
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TextIO, cast

import msgspec

from hud_core.errors import TaskDataError
from hud_huggingface.formats import COMPRESSED, format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LONGEST_ROW = 64 << 20
"""Bytes of one row of text; a longer one is a mistake, and reading it would fill the memory."""
_CHUNK = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_UTF_8 = "not UTF-8 text; save the file as UTF-8"
_TOO_LONG = f"longer than {LONGEST_ROW >> 20} MB"


class Row(NamedTuple):
    """One row of a file."""

    data: Any
    """JSON data: a dict, unless the row is wrong."""
    place: str
    """The file, and the row or line in it."""
    problem: str = ""
    """Why there is no data."""
    is_flat: bool = False
    """Whether it comes from a table: its structured fields may be JSON text, and an empty text may mean nothing."""


def rows_of(path: Path, name: str) -> Iterator[Row]:
    """Give the rows of a file.

    A row that cannot be read is given with its problem, as long as the rows after it can be found.

    Args:
        path: The file.
        name: What problems call it; its end says the format.

    Raises:
        TaskDataError: The file cannot be read on from some row: it is damaged, cut off, or of another format.
    """
    with _explained(name):
        kind = format_of(name)
        if kind == "parquet":
            from hud_huggingface.parquet import read_rows

            yield from read_rows(path, name)
            return
        with _opened(path, name) as file:
            yield from _READERS[kind or ""](file, name)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say which file cannot be read, and why."""
    try:
        yield
    except (EOFError, zlib.error, LZMAError) as error:
        raise TaskDataError([f"the compressed data is damaged or cut off: {error} @ {name}"]) from error
    except OSError as error:  # the errors of gzip and bz2 for damaged data are of this class too, without an errno
        why = error.strerror or f"the compressed data is damaged: {error}"
        raise TaskDataError([f"cannot be read: {why} @ {name}"]) from error


def _opened(path: Path, name: str) -> BinaryIO:
    suffix = Path(name.lower()).suffix
    if suffix not in COMPRESSED:
        return path.open("rb")
    import bz2
    import gzip
    import lzma

    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return cast("BinaryIO", openers[suffix](path))


# --- JSONL ------------------------------------------------------------------------------------------------------------


def _json_lines(file: BinaryIO, name: str) -> Iterator[Row]:
    number = 0
    while line := file.readline(LONGEST_ROW):
        number += 1
        place = f"{name}:{number}"
        if len(line) == LONGEST_ROW and not line.endswith(b"\n"):
            yield Row(None, place, f"a line {_TOO_LONG}")
            _skip_line(file)
            continue
        text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
        if text:
            yield from _of_line(text, place)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
        pass


def _of_line(text: bytes, place: str) -> Iterator[Row]:
    """Read a line: a row, or a list of rows."""
    try:
        data = msgspec.json.decode(text)
    except UnicodeDecodeError:
        yield Row(None, place, _NOT_UTF_8)
        return
    except (msgspec.DecodeError, RecursionError) as error:
        if text.startswith((b"\xff\xfe", b"\xfe\xff", b"{\x00")):  # UTF-16: no line can be read
            raise TaskDataError([f"{_NOT_UTF_8} @ {place}"]) from None
        yield Row(None, place, f"not JSON: {why_not_json(error)}")
        return
    for item in data if isinstance(data, list) else [data]:
        yield Row(item, place)


def why_not_json(error: Exception) -> str:
    """Say why text is no JSON, from what reading it raised."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = error.msg if isinstance(error, json.JSONDecodeError) else str(error).removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(file: BinaryIO, name: str) -> Iterator[Row]:
    """Read a list of rows, or rows one after the other, as other tools write them into files that end in ``.json``."""
    with io.TextIOWrapper(file, encoding="utf-8-sig") as stream:
        yield from _values(_Text(stream, name), name)


def _values(text: _Text, name: str) -> Iterator[Row]:
    is_list = text.peek() == "["
    if is_list:
        text.take()
    number = 0
    while (first := text.peek()) and not (is_list and first == "]"):
        if is_list and number:
            text.expect(",", f"after row {number - 1}")
        yield Row(text.value(f"row {number}"), f"{name}, row {number}")
        number += 1
    if is_list:
        text.expect("]", f"after row {number - 1}" if number else "at the end")
        if text.peek():
            raise TaskDataError([f"not JSON: more text after the end of the list @ {name}"])


class _Text:
    """The text of a JSON file, read as far as it is needed."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._name = name
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)

    def peek(self) -> str:
        """Give the next character that is no space; nothing at the end."""
        while True:
            while self._at < len(self._buffer):
                if not self._buffer[self._at].isspace():
                    return self._buffer[self._at]
                self._at += 1
            if not self._more(_CHUNK):
                return ""

    def take(self) -> None:
        """Pass over a character."""
        self._at += 1

    def expect(self, sign: str, where: str) -> None:
        """Pass over a sign that must stand here."""
        found = self.peek()
        if found != sign:
            what = f"found {found!r}" if found else "the file is cut off"
            raise TaskDataError([f"not JSON: expected {sign!r}, {what} @ {self._name}, {where}"])
        self.take()

    def value(self, where: str) -> object:
        """Read a value; the text is read on, twice as much each time, until the value is whole."""
        self.peek()
        wanted = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._more(wanted):
                    raise TaskDataError([f"not JSON: {why_not_json(error)} @ {self._name}, {where}"]) from None
            else:
                if end < len(self._buffer) or not self._more(wanted):  # a number may go on
                    self._at = end
                    return value
            wanted *= 2
            if len(self._buffer) - self._at > LONGEST_ROW:
                raise TaskDataError([f"{_TOO_LONG}, or not JSON @ {self._name}, {where}"])

    def _more(self, size: int) -> bool:
        if self._ended:
            return False
        try:
            text = self._file.read(size)
        except UnicodeDecodeError as error:
            raise TaskDataError([f"{_NOT_UTF_8} @ {self._name}"]) from error
        self._ended = not text
        self._buffer = self._buffer[self._at :] + text
        self._at = 0
        return not self._ended


def _no_constant(text: str) -> None:
    msg = f"a value is {text}, which JSON has not"
    raise ValueError(msg)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _table(file: BinaryIO, name: str) -> Iterator[Row]:
    separator = "\t" if ".tsv" in Path(name.lower()).suffixes else ","
    number = 0
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(_lines(text, name), delimiter=separator, strict=True)
            header = next(reader, [])
            _check_header(header, name)
            for cells in filter(None, reader):
                yield _table_row(header, cells, f"{name}, row {number} (line {reader.line_num})")
                number += 1
    except UnicodeDecodeError as error:
        raise TaskDataError([f"{_NOT_UTF_8} @ {name}, row {number}"]) from error
    except csv.Error as error:
        raise TaskDataError([f"not a table: {_csv_error(error)} @ {name}, row {number}"]) from error


def _lines(text: TextIO, name: str) -> Iterator[str]:
    number = 0
    while line := text.readline(LONGEST_ROW):
        number += 1
        if len(line) == LONGEST_ROW and not line.endswith(("\n", "\r")):
            raise TaskDataError([f"a line {_TOO_LONG} @ {name}:{number}"])
        yield line


def _check_header(header: list[str], name: str) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise TaskDataError([f"two columns are called {twice[0]!r} @ {name}"])


def _table_row(header: Sequence[str], cells: list[str], place: str) -> Row:
    if len(cells) != len(header):
        return Row(None, place, f"{len(cells)} fields in a row of a table with {len(header)} columns")
    return Row(dict(zip(header, cells, strict=True)), place, is_flat=True)


def _csv_error(error: csv.Error) -> str:
    text = str(error)
    if "field limit" in text:
        return f"{text}; raise it with csv.field_size_limit(), or use JSONL or Parquet"
    return "the file is cut off inside quotes" if text == "unexpected end of data" else text


_READERS = {"jsonl": _json_lines, "json": _json, "csv": _table}
