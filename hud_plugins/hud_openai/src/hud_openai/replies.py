"""What a chat-completions endpoint answers, as a turn of the model. Tolerant, as every server differs a little."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core import trace
from hud_core.agents.conversation import MalformedCall, ModelTurn, read_call
from hud_core.errors import ProviderError
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import NO_USAGE, Usage

if TYPE_CHECKING:
    from hud_core.model.tools import ToolCall
    from hud_openai.client import Reply, WithheldError

STOPS = {"length": StopReason.TRUNCATED, "content_filter": StopReason.CONTENT_FILTER}
"""The words for why a turn ended that mean something. Others, known and unknown, say what the turn itself shows."""


class Function(msgspec.Struct):
    """The function of a tool call."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    """JSON text; an object from servers that think they help."""


class WireCall(msgspec.Struct):
    """A tool call."""

    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class WireMessage(msgspec.Struct):
    """What the model said."""

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[WireCall] | None = None


class Choice(msgspec.Struct):
    """One of the answers; only the first is read."""

    message: WireMessage
    finish_reason: str | None = None


class Details(msgspec.Struct):
    """Parts of a token count."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """The token counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Completion(msgspec.Struct):
    """The whole body."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    """Gateways answer 200 with an error inside."""


_decoder = msgspec.json.Decoder(Completion)


def read_reply(reply: Reply) -> ModelTurn:
    """Read an answer.

    Raises:
        ProviderError: It is not a chat completion, or holds no choice.
    """
    try:
        completion = _decoder.decode(reply.body)
    except msgspec.MsgspecError as error:
        raise ProviderError(f"the endpoint's answer is not a chat completion: {error}") from error
    if not completion.choices:
        raise ProviderError(f"the endpoint answered without a choice: {completion.error or 'no reason given'}")
    choice = completion.choices[0]
    if choice.finish_reason == "error":
        raise ProviderError(f"the endpoint broke off its answer: {completion.error or 'no reason given'}")
    return _turn(choice, completion, reply)


def withheld(error: WithheldError) -> ModelTurn:
    """Make the turn of a model that was not asked, or not heard: the endpoint's filter came between."""
    trace.log_line(str(error), source="agent")
    return ModelTurn(stop=StopReason.CONTENT_FILTER, finish=error.code)


def _turn(choice: Choice, completion: Completion, reply: Reply) -> ModelTurn:
    message = choice.message
    text = _text(message.content)
    calls = tuple(_calls(message.tool_calls or []))
    return ModelTurn(
        text=text or message.refusal or "",
        reasoning=message.reasoning_content or message.reasoning or "",
        calls=calls,
        stop=StopReason.REFUSED if message.refusal else STOPS.get(choice.finish_reason or ""),
        raw=_assistant(message, text, calls),
        model=completion.model or "",
        usage=_usage(completion.usage),
        finish=choice.finish_reason,
        request_id=reply.request_id,
    )


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return content or ""


def _calls(calls: list[WireCall]) -> list[ToolCall | MalformedCall]:
    """Read the calls; an id that is missing or given twice is made up, since results are told by it."""
    read: dict[str, ToolCall | MalformedCall] = {}
    for place, call in enumerate(calls):
        call_id = call.id if call.id and call.id not in read else f"{call.id or 'call'}_{place}"
        read[call_id] = read_call(call.function.name or "", call.function.arguments, call_id)
    return list(read.values())


def _assistant(message: WireMessage, text: str, calls: tuple[ToolCall | MalformedCall, ...]) -> dict[str, Any]:
    """Make the message that says to the model what it said."""
    said: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _sent(wire, call)}}
            for wire, call in zip(message.tool_calls or [], calls, strict=True)
        ]
        if message.reasoning_content:  # models that think between tool calls want to see their thoughts again
            said["reasoning_content"] = message.reasoning_content
    return said


def _sent(wire: WireCall, call: ToolCall | MalformedCall) -> str:
    """Give the arguments of a call as JSON text; servers reject a conversation that holds malformed ones."""
    if isinstance(call, MalformedCall):
        return "{}"
    raw = wire.function.arguments
    return raw if isinstance(raw, str) and raw.strip() else json.dumps(call.arguments)


def _usage(usage: WireUsage | None) -> Usage:
    if usage is None:
        return NO_USAGE
    read, made = usage.prompt_tokens_details or Details(), usage.completion_tokens_details or Details()
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=read.cached_tokens or 0,
        reasoning_tokens=made.reasoning_tokens or 0,
    )
