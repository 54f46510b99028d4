"""The forms in which rows of LegacyTask files write a field, read as one: objects, dicts, JSON text, shorthands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from hud_core.environment.references import read_servers
from hud_core.errors import ConfigError, DefinitionError, closest
from hud_core.model.tools import ToolCall

_CALL = frozenset({"name", "arguments", "id", "annotation", "meta", "task"})
"""What a tool call may have; the last two are written by hud-python, and not used."""


def from_json(value: Any) -> Any:  # noqa: ANN401  a field's value, of any type
    """Read JSON text, as columns of datasets hold it; empty text is nothing, and what is no text stays as it is.

    Raises:
        ConfigError: It is no JSON.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except ValueError as error:
        msg = f"Invalid JSON string: {error}"
        raise ConfigError(msg) from None


# --- tool calls -------------------------------------------------------------------------------------------------------


def calls(value: Any) -> ToolCall | list[ToolCall] | None:  # noqa: ANN401  as above
    """Read a tool call, a list of them, or none.

    Raises:
        ConfigError: It is text and no JSON.
        ValueError: It is no tool call.
    """
    if type(value) is dict and value:
        return call(value)
    value = from_json(value)
    if isinstance(value, list | tuple):
        return [call(item, f"item {number}") for number, item in enumerate(value)] or None
    return call(value) if value or not isinstance(value, Mapping | None) else None


def call(value: Any, what: str = "it") -> ToolCall:  # noqa: ANN401  as above
    """Read one tool call: an object, ``{"name": ..., "arguments": {...}}``, or ``{"navigate": {...}}``.

    ``{"setup": {"navigate": {...}}}`` is the call of a dispatcher: ``setup(name="navigate", arguments={...})``.

    Raises:
        ValueError: It is none of them.
    """
    if type(value) is not dict:  # as nearly all are; asking for a Mapping takes ten times as long
        value = _part(value, what)
        if isinstance(value, ToolCall):
            return value
        if not isinstance(value, Mapping):
            value = _attributes(value, what)
    name, arguments = value.get("name"), _part(value.get("arguments"), f"{what}: arguments")
    if type(name) is not str or not (arguments is None or isinstance(arguments, dict)):
        return _shorthand(value, what)
    if not _CALL.issuperset(value):
        unknown = [key for key in value if key not in _CALL]
        msg = f"{what} has an unknown key {unknown[0]!r}{closest(unknown[0], ('name', 'arguments'))}"
        raise ValueError(msg)
    if not name:
        msg = f"{what} names no tool"
        raise ValueError(msg)
    return ToolCall(name, dict(arguments or {}), str(value.get("id") or ""), value.get("annotation"))


def _part(value: Any, what: str) -> Any:  # noqa: ANN401  as above
    """Read JSON text inside of a field, whose name pydantic adds to a ValueError."""
    try:
        return from_json(value)
    except ConfigError as error:
        raise ValueError(f"{what}: {error}") from None


def _attributes(value: object, what: str) -> Mapping[str, Any]:
    """Read an object that has a tool call's attributes, such as MCP's own."""
    name = getattr(value, "name", None)
    if not isinstance(name, str):
        msg = f"{what} must be a tool call such as {{'name': 'setup', 'arguments': {{}}}}, got {type(value).__name__}"
        raise ValueError(msg)  # noqa: TRY004  pydantic reports a ValueError as the field's
    return {"name": name, "arguments": getattr(value, "arguments", None)}


def _shorthand(value: Mapping[str, Any], what: str) -> ToolCall:
    """Read ``{tool: arguments}``; arguments that are such a shorthand themselves are a dispatcher's."""
    if len(value) == 1 and "name" not in value and "arguments" not in value:
        ((tool, arguments),) = value.items()
        if isinstance(arguments, Mapping):
            inner = list(arguments.items())
            if len(inner) == 1 and isinstance(inner[0][1], Mapping):
                return ToolCall(tool, {"name": inner[0][0], "arguments": dict(inner[0][1])})
            return ToolCall(tool, dict(arguments))
    if isinstance(value.get("name"), str):
        msg = f"{what}: arguments must be an object, got {type(value['arguments']).__name__}"
        raise ValueError(msg)  # noqa: TRY004  as above
    msg = f"{what} must be {{'name': ..., 'arguments': {{...}}}} or {{tool: {{...}}}}, got the keys {list(value)}"
    raise ValueError(msg)


def call_data(value: ToolCall | list[ToolCall] | None) -> Any:  # noqa: ANN401  JSON data
    """Give tool calls as JSON data."""
    if value is None:
        return None
    if isinstance(value, list):
        return [call_data(item) for item in value]
    more = {"id": value.id or None, "annotation": value.annotation}
    return {
        "name": value.name,
        "arguments": value.arguments,
        **{name: item for name, item in more.items() if item is not None},
    }


def as_list(value: ToolCall | list[ToolCall] | None) -> list[ToolCall]:
    """Give the calls of a field as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


# --- servers and settings ---------------------------------------------------------------------------------------------


def servers(value: Any) -> Any:  # noqa: ANN401  as above
    """Read ``mcp_config``: servers by name, each with a command or a url, with or without ``mcpServers`` around them.

    ``{...}``, as examples write it, is none yet.

    Raises:
        ConfigError: It is text and no JSON.
        ValueError: It names no server, or one that is neither a command nor a url.
    """
    value = from_json(value)
    if value == {...}:
        return {}
    if not isinstance(value, dict):
        msg = f"must map names to servers, got {'nothing' if value is None else type(value).__name__}"
        raise ValueError(msg)  # noqa: TRY004  as above
    try:
        read_servers(value)
    except DefinitionError as error:
        raise ValueError(str(error)) from None
    return value


def settings(value: Any) -> Any:  # noqa: ANN401  as above
    """Read ``agent_config``: an object, a dict or JSON text.

    Raises:
        ConfigError: It is text and no JSON.
    """
    value = from_json(value)
    if attrs.has(type(value)):  # `TaskAgentConfig`, which is `BaseAgentConfig` to users
        return attrs.asdict(value, filter=lambda attribute, item: item != attribute.default)
    return value


def mapping(value: Any) -> Any:  # noqa: ANN401  as above
    """Read an object or the JSON text of one; nothing is an empty one."""
    value = from_json(value)
    return {} if value is None else value
