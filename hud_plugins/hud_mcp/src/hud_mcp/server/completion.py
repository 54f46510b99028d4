"""Values that fit an argument of a prompt or of a resource's address, as far as its type has few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
import msgspec

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hud_core.environment.signature import Signature

MOST = 100
"""How many values an answer may have."""


def complete(signature: Signature, argument: types.CompletionArgument) -> types.CompleteResult:
    """Give the values of an argument that begin as what was typed, in any case: choices, and true and false.

    Raises:
        ConfigError: There is no such argument.
    """
    properties = signature.schema["properties"]
    if argument.name not in properties:
        msg = f"there is no argument {argument.name!r}; there are {', '.join(properties) or 'none'}"
        raise ConfigError(msg)
    known = dict.fromkeys(_choices(properties[argument.name], signature.schema.get("$defs", {})))
    found = [text for text in known if text.lower().startswith(argument.value.lower())]
    completion = types.Completion(values=found[:MOST], total=len(found), has_more=len(found) > MOST)
    return types.CompleteResult(completion=completion)


def _choices(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Give what a schema allows as text, where it says so value by value."""
    yield from (_text(value) for value in schema.get("enum", ()))
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    for part in schema.get("anyOf", ()):
        yield from _choices(part, definitions)
    if "$ref" in schema:
        found = definitions[schema["$ref"].rpartition("/")[2]]
        # Only choices are followed: other definitions may hold themselves.
        yield from (_text(value) for value in found.get("enum", ()))


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
