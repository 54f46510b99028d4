"""JSON Schemas as the API's JSON output takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from hud_core.agents.answers import ObjectAnswer, object_answer

Schema = dict[str, Any]

LOOSE = frozenset({
    "not", "if", "then", "else", "prefixItems", "patternProperties", "propertyNames", "dependentRequired",
    "dependentSchemas", "unevaluatedProperties", "contains",
})  # fmt: skip
"""Keywords that the API does not have, and without which a schema would mean something else."""


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    output_format: Schema
    answer: ObjectAnswer


def answer_form(schema: Schema) -> AnswerForm | None:
    """Make the ``output_config.format`` of a schema; None where the API cannot express it."""
    import anthropic

    answer = object_answer(schema)
    if not _is_closed(answer.schema):
        return None
    try:
        fitting = anthropic.transform_schema(answer.schema)
    except ValueError:  # earlier versions of the SDK know fewer schemas
        return None
    return AnswerForm({"type": "json_schema", "schema": fitting}, answer)


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
