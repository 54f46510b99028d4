"""A conversation between a model and tools, in no vendor's form. Vendors read it whole and make their request of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from hud_core.agents.native import NativeTool
from hud_core.environment.calls import MalformedCall, read_call, read_json
from hud_core.model.content import Citation, Message
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import NO_USAGE, Usage
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Conversation", "MalformedCall", "ModelTurn", "ToolTurn", "Turn", "read_call", "read_structured",
    "schema_instruction",
]  # fmt: skip


@frozen(kw_only=True)
class ModelTurn:
    """What the model said when it was asked once."""

    text: str = ""
    """Its text, verbatim."""
    reasoning: str = ""
    calls: tuple[ToolCall | MalformedCall, ...] = ()
    """The tools that it wants called; several run at once."""
    stop: StopReason | None = None
    """`StopReason.REFUSED`, `TRUNCATED` or `CONTENT_FILTER` where the endpoint says so; None otherwise."""
    paused: bool = False
    """Whether the vendor broke off a long turn in the middle: it goes on when it is sent back as it is."""
    structured: Any = None
    """The answer as data, where the vendor has it in another form than JSON text."""
    citations: tuple[Citation, ...] = ()
    raw: Any = None
    """The turn in the vendor's form, to send back unchanged: reasoning, signatures, ids. JSON data, as it is kept."""
    model: str = ""
    """The model that answered, where it is not the one that was asked for."""
    usage: Usage = NO_USAGE
    finish: str | None = None
    """The vendor's own word for why the turn ended."""
    request_id: str | None = None
    retries: int = 0


@frozen
class ToolTurn:
    """What the calls of one model turn gave, in the order of the calls."""

    results: tuple[tuple[ToolCall | MalformedCall, ToolResult], ...]


Turn = Message | ModelTurn | ToolTurn


@define(kw_only=True)
class Conversation:
    """All that a model is told, and has said, in one rollout."""

    system: str = ""
    """The agent's system prompt, then the task's."""
    tools: tuple[Tool, ...] = ()
    """The function tools to offer; their names are of letters, digits, ``_`` and ``-``, at most 64."""
    native: tuple[NativeTool, ...] = ()
    """The tools to offer in the vendor's own form. Calls of them carry their `NativeTool.name`."""
    answer_schema: dict[str, Any] | None = None
    """The JSON Schema of the answer, when it is to be a typed one."""
    enable_citations: bool = False
    """Whether the answer is to name its sources, where the model can."""
    turns: list[Turn] = field(factory=list)
    """The prompt's messages, then turns of the model and of the tools. They are added, and never changed."""
    written: Any = field(default=None, eq=False, repr=False)
    """For the agent to keep what it has put into its API's form, so that a turn is put into it once: no part of what
    is said."""


def schema_instruction(schema: Mapping[str, Any]) -> str:
    """Tell a model in words to answer in JSON, for endpoints that cannot be told otherwise."""
    return (
        "When you give your final answer, reply with nothing but one JSON value that fits this JSON Schema, "
        f"without a code fence:\n{json.dumps(schema)}"
    )


def read_structured(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Read an answer as JSON, a fence around it or not; None where it is none."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", text, re.DOTALL | re.IGNORECASE)
    try:
        return read_json(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
