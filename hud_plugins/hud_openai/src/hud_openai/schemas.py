"""JSON Schemas as the endpoints' structured output takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from hud_core.agents.answers import ObjectAnswer, object_answer
from hud_core.environment.strict import strict_schema

Schema = dict[str, Any]

NULL: Schema = {"type": "null"}


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    form: Schema
    answer: ObjectAnswer

    @property
    def response_format(self) -> Schema:
        """The form, as chat-completions takes it."""
        return {"type": "json_schema", "json_schema": self.form}

    @property
    def text_format(self) -> Schema:
        """The form, as the Responses API takes it."""
        return {"type": "json_schema", **self.form}


def answer_form(schema: Schema) -> AnswerForm:
    """Make the form of a schema's answers, strict if strict mode can express it."""
    answer = object_answer(schema)
    strict = strict_schema(answer.schema)
    form = {"name": "answer", "schema": strict or answer.schema, "strict": strict is not None}
    return AnswerForm(form, answer)


def strict_parameters(schema: Schema) -> Schema | None:
    """Restrict a tool's parameters to strict mode. None where that would change what a model can say.

    Strict mode requires every parameter, so those that may be left out may be null instead: `without_fillers` leaves
    them out again. Objects inside of parameters have no such way out.
    """
    properties = schema.get("properties", {})
    if not properties:
        is_closed = schema.get("additionalProperties") in (None, False)
        return (
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False} if is_closed else None
        )
    optional = fillable(schema)
    shown = {name: {"anyOf": [value, NULL]} if name in optional else value for name, value in properties.items()}
    inner = [*properties.values(), *schema.get("$defs", {}).values()]
    return None if any(map(_has_optional, inner)) else strict_schema({**schema, "properties": shown})


def fillable(schema: Schema) -> list[str]:
    """Name the parameters that may be left out, and that may not be null."""
    required, properties = schema.get("required", []), schema.get("properties", {})
    return [name for name, value in properties.items() if name not in required and not _allows_null(value)]


def without_fillers(arguments: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Leave out the arguments that are null because strict mode asks for all of them."""
    fillers = [name for name in fillable(schema) if arguments.get(name, NULL) is None]
    return {name: value for name, value in arguments.items() if name not in fillers} if fillers else arguments


def _allows_null(node: object) -> bool:
    if not isinstance(node, dict):
        return True
    kind = node.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return "null" in kinds or None in node.get("enum", ()) or any(map(_allows_null, node.get("anyOf", ())))


def _has_optional(node: object) -> bool:
    """Whether an object somewhere in a schema has properties that may be left out."""
    if isinstance(node, list):
        return any(map(_has_optional, node))
    if not isinstance(node, dict):
        return False
    properties = node.get("properties")
    if isinstance(properties, dict) and not properties.keys() <= set(node.get("required", ())):
        return True
    return any(map(_has_optional, node.values()))
