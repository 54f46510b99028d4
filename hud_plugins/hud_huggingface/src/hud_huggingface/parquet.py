"""Rows out of Parquet files, a batch at a time, and into them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.errors import TaskDataError
from hud_huggingface.columns import Column, columns_of, encoded, restored
from hud_huggingface.files import LONGEST_ROW, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from pyarrow import parquet

BATCH_ROWS = 500
GROUP_ROWS = 1_000
"""Rows of a row group, which a reader may need in memory as a whole."""
_BUFFER_BYTES = 1 << 16
_MARK = b"hud"
"""The key of a file's metadata that says how its columns hold the fields of rows."""
_INDEX = re.compile(r"__index_level_\d+__")
"""Columns in which pandas keeps the numbers of rows; no field of them."""


def read_rows(path: Path, name: str) -> Iterator[Row]:
    """Give the rows of a Parquet file.

    Raises:
        TaskDataError: It is no Parquet file, it is damaged, or a column holds what has no JSON form.
    """
    import pyarrow as pa

    number = 0
    try:
        with _opened(path) as file:
            read = _reader(file.schema_arrow, name)
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                for piece in [batch] if batch.nbytes <= LONGEST_ROW else map(batch.slice, range(len(batch)), repeat(1)):
                    yield from _rows(piece, read, name, number)
                    number += len(piece)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        where = f", after row {number - 1}" if number else ""
        what = "the Parquet file is damaged" if number else "no Parquet file, or one that is damaged or cut off"
        raise TaskDataError([f"{what}: {_first_line(error)} @ {name}{where}"]) from error


def _opened(path: Path) -> parquet.ParquetFile:
    """Open a file, to be read with the allocator of the system: that of Arrow holds 20 MB for a reader that needs five.

    A reader keeps the allocator that is the default when it is made; nothing else is made here meanwhile.
    """
    import pyarrow as pa
    from pyarrow import parquet

    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    finally:
        pa.set_memory_pool(usual)


def _rows(piece: pa.RecordBatch, read: Callable[[dict[str, Any], str], Row], name: str, first: int) -> Iterator[Row]:
    """Give the rows of a batch; one of many bytes comes row by row."""
    if piece.nbytes > LONGEST_ROW:
        yield Row(None, f"{name}, row {first}", f"longer than {LONGEST_ROW >> 20} MB")
        return
    for number, data in enumerate(piece.to_pylist(), first):
        yield read(data, f"{name}, row {number}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _reader(schema: pa.Schema, name: str) -> Callable[[dict[str, Any], str], Row]:
    """Make what reads a row: exactly what was written where `write_rows` wrote it, else what can be understood."""
    if _MARK in (schema.metadata or {}):
        columns = _columns(schema.metadata[_MARK], schema.names, name)
        return lambda data, place: Row(restored(columns, data), place)
    converters = _converters(schema, name)
    for column in filter(_INDEX.fullmatch, schema.names):
        converters[column] = lambda _: None
    return lambda data, place: Row(_converted(data, converters), place, is_flat=True)


def _columns(mark: bytes, names: list[str], name: str) -> dict[str, Column]:
    try:
        columns = msgspec.json.decode(mark, type=dict[str, Column])
    except msgspec.DecodeError as error:
        raise TaskDataError([f"written by another version of hud-huggingface: {error} @ {name}"]) from error
    missing = set(names) - columns.keys()
    if missing:
        raise TaskDataError([f"column {min(missing)!r} was added by another tool that kept the marks of ours @ {name}"])
    return columns


# --- values that are not JSON data as Arrow gives them ----------------------------------------------------------------


def _converted(data: dict[str, Any], converters: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    for column, convert in converters.items():
        data[column] = convert(data[column])
    return data


def _converters(schema: pa.Schema, name: str) -> dict[str, Callable[[Any], Any]]:
    """Find the columns whose values are not plain JSON data."""
    problems = [
        f"holds {field.type}, which has no JSON form @ {name}, column {field.name!r}"
        for field in schema
        if not _is_data(field.type)
    ]
    twice = sorted({column for column in schema.names if schema.names.count(column) > 1})
    problems += [f"two columns are called {column!r} @ {name}" for column in twice]
    if problems:
        raise TaskDataError(problems)
    return {field.name: _plain for field in schema if not _is_plain(field.type)}


def _is_data(kind: pa.DataType) -> bool:
    from pyarrow import types

    inner = [kind.field(number).type for number in range(kind.num_fields)] if types.is_nested(kind) else []
    if types.is_dictionary(kind):
        inner = [kind.value_type]
    is_binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return not is_binary and not types.is_union(kind) and not types.is_duration(kind) and all(map(_is_data, inner))


def _is_plain(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_integer, types.is_boolean, types.is_string, types.is_large_string))


def _plain(value: object) -> object:
    """Give a value as JSON data.

    The records of a column all have the same fields, those that a row does not have as nulls: nulls are left out.
    """
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):  # a map
            return {str(key): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):  # how pandas writes that there is no number
        return None
    return float(value) if isinstance(value, Decimal) else value


# --- writing ----------------------------------------------------------------------------------------------------------


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of JSON data; `read_rows` gives the same again."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = columns_of(rows)
    kinds = {"text": pa.string(), "json": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema(
        [(field, kinds[column.kind]) for field, column in columns.items()],
        metadata={_MARK: msgspec.json.encode(columns)},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, len(rows), GROUP_ROWS):
            group = rows[first : first + GROUP_ROWS]
            arrays = [
                pa.array(encoded(columns[field], group, field), type=schema.field(number).type)
                for number, field in enumerate(columns)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
