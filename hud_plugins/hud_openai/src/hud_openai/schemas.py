"""JSON Schemas as the endpoints' structured output takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

Schema = dict[str, Any]

WRAPPED = "answer"
"""The property that holds an answer that is no object: the root must be one."""

LOOSE = frozenset({
    "allOf", "oneOf", "not", "if", "then", "else", "prefixItems", "patternProperties", "propertyNames", "uniqueItems",
    "dependentRequired", "dependentSchemas", "unevaluatedProperties", "contains",
})  # fmt: skip
"""Keywords that strict mode does not have."""


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    response_format: Schema
    is_wrapped: bool
    """Whether the answer is in the property `WRAPPED`."""


class _NotStrictError(ValueError):
    """The schema allows what strict mode cannot express."""


def answer_form(schema: Schema) -> AnswerForm:
    """Make the ``response_format`` of a schema, strict if strict mode can express it."""
    root = _inlined(schema)
    is_wrapped = root.get("type") != "object"
    if is_wrapped:
        definitions = {key: root[key] for key in ("$defs",) if key in root}
        inner = {key: value for key, value in root.items() if key != "$defs"}
        root = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], **definitions}
    strict = strict_schema(root)
    form = {"name": WRAPPED, "schema": strict or root, "strict": strict is not None}
    return AnswerForm({"type": "json_schema", "json_schema": form}, is_wrapped)


def strict_schema(schema: Schema) -> Schema | None:
    """Restrict a schema to strict mode: every property required, no others. None where that would lose answers.

    What fits the strict schema fits the original one, as it only asks for more.
    """
    try:
        return _strict(schema)
    except _NotStrictError:
        return None


def _inlined(schema: Schema) -> Schema:
    """Put the definition that the root only refers to in its place; a definition that refers to itself stays, too."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    definition = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {**definition, "$defs": schema["$defs"]} if definition else schema


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
    if node.get("additionalProperties") not in (None, False) or not node.get("properties"):
        raise _NotStrictError  # a mapping with free keys
    properties = {name: _strict(value) for name, value in node["properties"].items()}
    return {"properties": properties, "required": list(properties), "additionalProperties": False}
