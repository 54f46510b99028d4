"""Typed answers, for model APIs whose JSON output must be an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import evolve

from hud_core.agents.conversation import read_structured

if TYPE_CHECKING:
    from hud_core.agents.conversation import ModelTurn

Schema = dict[str, Any]

WRAPPED = "answer"
"""The property that holds an answer that is no object."""


class ObjectAnswer(NamedTuple):
    """An answer as an object: itself, or what holds it."""

    schema: Schema
    is_wrapped: bool
    """Whether the answer is in the property `WRAPPED`."""

    def read(self, turn: ModelTurn) -> ModelTurn:
        """Take the answer out of the property that it is wrapped in."""
        data = read_structured(turn.text) if self.is_wrapped else None
        return evolve(turn, structured=data.get(WRAPPED)) if isinstance(data, dict) else turn


def object_answer(schema: Schema) -> ObjectAnswer:
    """Ask for the answers of a schema as objects."""
    root = _inlined(schema)
    if root.get("type") == "object":
        return ObjectAnswer(root, is_wrapped=False)
    definitions = {"$defs": root["$defs"]} if "$defs" in root else {}
    inner = {key: value for key, value in root.items() if key != "$defs"}
    wrapped = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], **definitions}
    return ObjectAnswer(wrapped, is_wrapped=True)


def _inlined(schema: Schema) -> Schema:
    """Put the definition that the root only refers to in its place; a definition that refers to itself stays, too."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    definition = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {**definition, "$defs": schema["$defs"]} if definition else schema
