"""Rows as columns of a table, both ways: structured fields are JSON text there."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hud_core.errors import TaskDataError
from hud_huggingface.files import why_not_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hud_huggingface.files import Row

STRUCTURED = frozenset({
    "agent_config", "agent_tools", "args", "columns", "env", "evaluate_tool", "graders", "integration_test_tool",
    "mcp_config", "metadata", "setup_tool", "validation",
})  # fmt: skip
"""The fields of task rows that are no plain text: where they are text, it is JSON."""
_OF_LEGACY = frozenset({"prompt", "setup_tool", "evaluate_tool"})
"""Fields that only a LegacyTask has."""
_MAYBE_NONE = frozenset({"id", "scenario", "slug", "system_prompt"})
"""Texts that tables without nulls hold as empty text where a row has none."""
_INT_64 = 1 << 63


def is_legacy(row: Mapping[str, Any]) -> bool:
    """Whether a row is meant to be a LegacyTask, right or not: it has one's fields, and no scenario."""
    return "mcp_config" in row or ("scenario" not in row and not _OF_LEGACY.isdisjoint(row))


# --- reading ----------------------------------------------------------------------------------------------------------


def decoded(row: Row, where: str) -> dict[str, Any]:
    """Give a row's data with its JSON text read.

    Args:
        row: A row without a problem.
        where: What problems call it.

    Raises:
        TaskDataError: The row is no object, or its fields hold text that is no JSON; each field is named.
    """
    if not isinstance(row.data, dict):
        shown = repr(row.data)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004  as long as the kernel shows values
        raise TaskDataError([f"expected an object, got {type(row.data).__name__} {shown} @ {where} ({row.place})"])
    data: dict[str, Any] = {}
    problems = []
    for field, value in row.data.items():
        if row.is_flat and (value is None or (value == "" and field in _MAYBE_NONE)):
            continue
        try:
            data[field] = _value(value) if field in STRUCTURED and isinstance(value, str) else value
        except (msgspec.DecodeError, RecursionError) as error:
            problems.append(f"not JSON: {why_not_json(error)} @ {where}.{field} ({row.place})")
    if problems:
        raise TaskDataError(problems)
    if row.is_flat:
        return {field: value for field, value in data.items() if value is not None}
    return data


def _value(text: str) -> object:
    stripped = text.strip()
    if not stripped:
        return None
    return msgspec.json.decode(stripped) if stripped[0] in '[{"' or stripped == "null" else text


# --- writing ----------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """How a field's values are kept."""

    kind: str
    """``text``, ``int``, ``float``, ``bool``, or ``json`` for everything else, as text."""
    null_is_none: bool
    """Whether a null stands for None; otherwise for a row without the field."""


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """Decide how each field of rows of JSON data is kept, so that the same rows come back."""
    kinds: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    total = 0
    for row in rows:
        total += 1
        for field, value in row.items():
            kinds.setdefault(field, set()).add(_kind(value))
            counts[field] = counts.get(field, 0) + 1
    return {field: _column(found, is_everywhere=counts[field] == total) for field, found in kinds.items()}


def _kind(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT_64 <= value < _INT_64:
        return "json"
    return {str: "text", int: "int", float: "float", bool: "bool"}.get(type(value), "json")


def _column(kinds: set[str], *, is_everywhere: bool) -> Column:
    some = kinds - {"none"}
    has_none = "none" in kinds
    if len(some) == 1 and (is_everywhere or not has_none):
        return Column(some.pop(), null_is_none=has_none)
    return Column("json", null_is_none=False)


def encoded(column: Column, rows: Sequence[Mapping[str, Any]], field: str) -> list[Any]:
    """Give a column's values; None becomes a null."""
    if column.kind != "json":
        return [row.get(field) for row in rows]
    return [json.dumps(row[field], ensure_ascii=False) if field in row else None for row in rows]


def restored(columns: Mapping[str, Column], data: dict[str, Any]) -> dict[str, Any]:
    """Give the row that was kept; the opposite of `encoded`."""
    row: dict[str, Any] = {}
    for field, value in data.items():
        column = columns[field]
        if value is None:
            if column.null_is_none:
                row[field] = None
        else:
            row[field] = msgspec.json.decode(value) if column.kind == "json" else value
    return row


def not_json(value: object, path: str) -> Iterator[str]:
    """Say what in a value has no JSON form, and where it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _bad_text(key, path)
                yield from not_json(item, f"{path}.{key}" if path else key)
            else:
                yield f"key {key!r} is {type(key).__name__}, JSON has text keys only @ {path}"
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from not_json(item, f"{path}[{number}]")
    elif isinstance(value, str):
        yield from _bad_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{value} is no JSON number @ {path}"
    elif value is not None and not isinstance(value, int | float):
        yield f"{type(value).__name__} has no JSON form @ {path}"


def _bad_text(text: str, path: str) -> Iterator[str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        yield f"text with half a character (a lone surrogate) @ {path}"
