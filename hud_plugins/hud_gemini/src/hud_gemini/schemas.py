"""JSON Schemas as the Gemini API reads them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
"""Keywords that hold schemas by name."""
NESTED = frozenset({
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "anyOf", "oneOf", "allOf", "prefixItems",
})  # fmt: skip
"""Keywords that hold a schema, or a list of schemas."""


def wire_schema(schema: Schema) -> Schema:
    """Give a schema in the words that the API knows: a ``const``, which it ignores, becomes an ``enum`` of one.

    All other keywords go out as they are.
    """
    wire = {key: _inside(key, value) for key, value in schema.items() if key != "const"}
    if "const" in schema:
        wire["enum"] = [schema["const"]]
    return wire


def _inside(key: str, value: Any) -> Any:  # noqa: ANN401  the value of a keyword
    if key in NAMED and isinstance(value, dict):
        return {name: wire_schema(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
    if key not in NESTED:
        return value
    if isinstance(value, list):
        return [wire_schema(inner) if isinstance(inner, dict) else inner for inner in value]
    return wire_schema(value) if isinstance(value, dict) else value
