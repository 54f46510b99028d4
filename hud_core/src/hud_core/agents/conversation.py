"""A conversation between a model and tools, in no vendor's form. Vendors read it whole and make their request of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, field, frozen

from hud_core.agents.native import NativeTool
from hud_core.model.content import Citation, Message
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import NO_USAGE, Usage
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Sequence


NAME_LENGTH = 64
"""The longest tool name that every vendor takes."""


@frozen(kw_only=True)
class MalformedCall:
    """A tool call that cannot be made, because its arguments are not a JSON object."""

    name: str
    id: str = ""
    raw: str
    """The arguments as the model wrote them."""
    problem: str
    """What is wrong with them."""

    @property
    def as_call(self) -> ToolCall:
        """The call for the record, with the raw arguments beside it."""
        return ToolCall(self.name, {}, self.id, annotation=f"not called, {self.problem}: {self.raw}")

    @property
    def result(self) -> ToolResult:
        """What the model is told, so that it can try again."""
        told = f"tool {self.name!r} was not called: {self.problem}; arguments must be one JSON object, got: {self.raw}"
        return ToolResult.error(told, self.id)


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
    turns: list[Message | ModelTurn | ToolTurn] = field(factory=list)
    """The prompt's messages, then turns of the model and of the tools."""


def read_call(name: str, arguments: str | Mapping[str, Any] | None, call_id: str = "") -> ToolCall | MalformedCall:
    """Read a model's tool call; no arguments at all are an empty object."""
    if isinstance(arguments, Mapping):
        return ToolCall(name, dict(arguments), call_id)
    raw = arguments or ""
    try:
        value = json.loads(raw, parse_constant=_refuse_constant) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        return MalformedCall(name=name, id=call_id, raw=raw, problem=f"invalid JSON ({error})")
    if value is not None and not isinstance(value, dict):
        return MalformedCall(name=name, id=call_id, raw=raw, problem=f"a JSON {type(value).__name__}, not an object")
    return ToolCall(name, value, call_id)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def portable_tools(tools: Sequence[Tool]) -> tuple[tuple[Tool, ...], dict[str, str]]:
    """Give the tools under names that every vendor takes, and for those names the tools' own."""
    names: dict[str, str] = {}
    shown = []
    for tool in tools:
        portable = plain = re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name)[:NAME_LENGTH] or "_"
        count = 1
        while portable in names:  # two names became one
            count += 1
            portable = f"{plain[: NAME_LENGTH - 1 - len(str(count))]}_{count}"
        names[portable] = tool.name
        shown.append(tool if portable == tool.name else attrs.evolve(tool, name=portable))
    return tuple(shown), names


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
        return json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
