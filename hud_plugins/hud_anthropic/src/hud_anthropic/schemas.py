"""JSON Schemas as the API's JSON output takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

Schema = dict[str, Any]

WRAPPED = "answer"
"""The property that holds an answer that is no object: the root must be one."""

LOOSE = frozenset({
    "not", "if", "then", "else", "prefixItems", "patternProperties", "propertyNames", "dependentRequired",
    "dependentSchemas", "unevaluatedProperties", "contains",
})  # fmt: skip
"""Keywords that the API does not have, and without which a schema would mean something else."""


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    output_format: Schema
    is_wrapped: bool
    """Whether the answer is in the property `WRAPPED`."""


def answer_form(schema: Schema) -> AnswerForm | None:
    """Make the ``output_config.format`` of a schema; None where the API cannot express it."""
    import anthropic

    root = _inlined(schema)
    is_wrapped = root.get("type") != "object"
    if is_wrapped:
        definitions = {key: root[key] for key in ("$defs",) if key in root}
        inner = {key: value for key, value in root.items() if key != "$defs"}
        root = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], **definitions}
    if not _is_closed(root):
        return None
    try:
        fitting = anthropic.transform_schema(root)
    except ValueError:  # earlier versions of the SDK know fewer schemas
        return None
    return AnswerForm({"type": "json_schema", "schema": fitting}, is_wrapped)


def _inlined(schema: Schema) -> Schema:
    """Put the definition that the root only refers to in its place; a definition that refers to itself stays, too."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    definition = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {**definition, "$defs": schema["$defs"]} if definition else schema


def _is_closed(node: object) -> bool:
    """Whether all objects in a schema name their properties, and all values have a type."""
    if not isinstance(node, dict) or not node or LOOSE & node.keys() or isinstance(node.get("type"), list):
        return False
    if "$ref" in node:
        return True
    if not {"type", "anyOf", "oneOf", "allOf", "enum", "const"} & node.keys():
        return False
    if node.get("type") == "object" and (node.get("additionalProperties") or not node.get("properties")):
        return False  # a mapping with free keys
    if node.get("type") == "array" and "items" not in node:
        return False
    nested = [node[key] for key in ("items",) if key in node]
    for key in ("anyOf", "oneOf", "allOf"):
        nested += node.get(key, [])
    for key in ("properties", "$defs"):
        nested += node.get(key, {}).values()
    return all(map(_is_closed, nested))
