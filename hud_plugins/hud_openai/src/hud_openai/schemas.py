"""JSON Schemas as the endpoints' structured output takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from hud_core.environment.strict import strict_schema

Schema = dict[str, Any]

WRAPPED = "answer"
"""The property that holds an answer that is no object: the root must be one."""


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    response_format: Schema
    is_wrapped: bool
    """Whether the answer is in the property `WRAPPED`."""


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


def _inlined(schema: Schema) -> Schema:
    """Put the definition that the root only refers to in its place; a definition that refers to itself stays, too."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    definition = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {**definition, "$defs": schema["$defs"]} if definition else schema
