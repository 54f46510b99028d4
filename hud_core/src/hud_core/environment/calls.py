"""Tool calls as models make them: arguments that may be no JSON, and names that every vendor takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_LENGTH = 64
"""The longest tool name that every vendor takes."""


@frozen(kw_only=True)
class MalformedCall:
    """A tool call that cannot be made, because its arguments are not a JSON object."""

    name: str
    id: str = ""
    raw: str
    """The arguments as the model wrote them."""
    problem: str
    """What is wrong with them."""

    @property
    def as_call(self) -> ToolCall:
        """The call for the record, with the raw arguments beside it."""
        return ToolCall(self.name, {}, self.id, annotation=f"not called, {self.problem}: {self.raw}")

    @property
    def result(self) -> ToolResult:
        """What the model is told, so that it can try again."""
        told = f"tool {self.name!r} was not called: {self.problem}; arguments must be one JSON object, got: {self.raw}"
        return ToolResult.error(told, self.id)


def read_call(name: str, arguments: str | Mapping[str, Any] | None, call_id: str = "") -> ToolCall | MalformedCall:
    """Read a model's tool call; no arguments at all are an empty object."""
    if isinstance(arguments, Mapping):
        return ToolCall(name, dict(arguments), call_id)
    raw = arguments or ""
    try:
        value = read_json(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        return MalformedCall(name=name, id=call_id, raw=raw, problem=f"invalid JSON ({error})")
    if value is not None and not isinstance(value, dict):
        return MalformedCall(name=name, id=call_id, raw=raw, problem=f"a JSON {type(value).__name__}, not an object")
    return ToolCall(name, value, call_id)


def read_json(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Read JSON, without the constants that are none, such as NaN.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is too deep.
    """
    return _decoder.decode(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def portable_tools(tools: Sequence[Tool]) -> tuple[tuple[Tool, ...], dict[str, str]]:
    """Give the tools under names that every vendor takes, and for those names the tools' own."""
    names: dict[str, str] = {}
    shown = []
    for tool in tools:
        portable = plain = re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name)[:NAME_LENGTH] or "_"
        count = 1
        while portable in names:  # two names became one
            count += 1
            portable = f"{plain[: NAME_LENGTH - 1 - len(str(count))]}_{count}"
        names[portable] = tool.name
        shown.append(tool if portable == tool.name else attrs.evolve(tool, name=portable))
    return tuple(shown), names
