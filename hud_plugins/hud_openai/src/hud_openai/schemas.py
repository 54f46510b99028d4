"""JSON Schemas as the endpoints' structured output takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import evolve

from hud_core.agents.conversation import read_structured
from hud_core.environment.strict import strict_schema

if TYPE_CHECKING:
    from hud_core.agents import ModelTurn

Schema = dict[str, Any]

WRAPPED = "answer"
"""The property that holds an answer that is no object: the root must be one."""

NULL: Schema = {"type": "null"}


class AnswerForm(NamedTuple):
    """How a typed answer is asked for."""

    form: Schema
    is_wrapped: bool
    """Whether the answer is in the property `WRAPPED`."""

    @property
    def response_format(self) -> Schema:
        """The form, as chat-completions takes it."""
        return {"type": "json_schema", "json_schema": self.form}

    @property
    def text_format(self) -> Schema:
        """The form, as the Responses API takes it."""
        return {"type": "json_schema", **self.form}

    def read(self, turn: ModelTurn) -> ModelTurn:
        """Take the answer out of the property that it is wrapped in."""
        data = read_structured(turn.text) if self.is_wrapped else None
        return evolve(turn, structured=data.get(WRAPPED)) if isinstance(data, dict) else turn


def answer_form(schema: Schema) -> AnswerForm:
    """Make the form of a schema's answers, strict if strict mode can express it."""
    root = _inlined(schema)
    is_wrapped = root.get("type") != "object"
    if is_wrapped:
        definitions = {key: root[key] for key in ("$defs",) if key in root}
        inner = {key: value for key, value in root.items() if key != "$defs"}
        root = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], **definitions}
    strict = strict_schema(root)
    form = {"name": WRAPPED, "schema": strict or root, "strict": strict is not None}
    return AnswerForm(form, is_wrapped)


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


def _inlined(schema: Schema) -> Schema:
    """Put the definition that the root only refers to in its place; a definition that refers to itself stays, too."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    definition = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {**definition, "$defs": schema["$defs"]} if definition else schema
