"""JSON Schemas as OpenAI's strict mode takes them, for tools and for typed answers."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

LOOSE = frozenset({
    "allOf", "oneOf", "not", "if", "then", "else", "prefixItems", "patternProperties", "propertyNames", "uniqueItems",
    "dependentRequired", "dependentSchemas", "unevaluatedProperties", "contains",
})  # fmt: skip
"""Keywords that strict mode does not have."""


class _NotStrictError(ValueError):
    """The schema allows what strict mode cannot express."""


def strict_schema(schema: Schema) -> Schema | None:
    """Restrict a schema to strict mode: every property required, no others. None where that would lose answers.

    What fits the strict schema fits the original one, as it only asks for more.
    """
    try:
        return _strict(schema)
    except _NotStrictError:
        return None


def _strict(node: object) -> Schema:
    if not isinstance(node, dict) or not node or LOOSE & node.keys():
        raise _NotStrictError
    if "$ref" in node:  # nothing may stand beside a reference
        return {"$ref": node["$ref"]}
    result = {key: value for key, value in node.items() if key not in ("default", "examples", "$schema")}
    if _is_object(node):
        result |= _strict_object(node)
    if "items" in node:
        result["items"] = _strict(node["items"])
    elif node.get("type") == "array":
        raise _NotStrictError  # an array of anything
    if "anyOf" in node:
        result["anyOf"] = [_strict(option) for option in node["anyOf"]]
    if "$defs" in node:
        result["$defs"] = {name: _strict(definition) for name, definition in node["$defs"].items()}
    return result


def _is_object(node: Schema) -> bool:
    kind = node.get("type")
    return kind == "object" or "properties" in node or (isinstance(kind, list) and "object" in kind)


def _strict_object(node: Schema) -> Schema:
    is_closed = node.get("additionalProperties") is False
    if not is_closed and (node.get("additionalProperties") is not None or not node.get("properties")):
        raise _NotStrictError  # a mapping with free keys
    properties = {name: _strict(value) for name, value in node.get("properties", {}).items()}
    return {"properties": properties, "required": list(properties), "additionalProperties": False}
