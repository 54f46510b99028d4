"""What the Responses API answers, as a turn of the model. Tolerant, as every server differs a little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hud_core.agents.conversation import MalformedCall, ModelTurn, read_call
from hud_core.errors import ContextOverflowError, ProviderError
from hud_core.model.content import Citation
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import NO_USAGE, Usage
from hud_core.model.tools import ToolCall
from hud_openai.client import OVERFLOW, WithheldError, is_withheld
from hud_openai.schemas import without_fillers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud_core.agents import Conversation
    from hud_openai.client import Reply

Wire = dict[str, Any]

STOPS = {"max_output_tokens": StopReason.TRUNCATED, "content_filter": StopReason.CONTENT_FILTER}
"""The reasons for an incomplete response that mean something; any other, and none, is that it was cut off."""
CALLS = {
    "shell": "shell_call",
    "apply_patch": "apply_patch_call",
    "computer": "computer_call",
    "computer_use_preview": "computer_call",
}
"""How the calls of native tools come."""
OVERLOADED = ("rate_limit_exceeded", "server_is_overloaded", "slow_down")
TRANSIENT = ("server_error", "vector_store_timeout", *OVERLOADED)
"""Codes of a failed response that another try may change."""
ANSWERED = ("completed", "incomplete", None)
"""The states of a response that hold an answer."""


class Part(msgspec.Struct):
    """A part of a message, or of a thought."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    annotations: list[Wire] | None = None


class Note(msgspec.Struct):
    """An annotation of a text."""

    type: str | None = None
    title: str | None = None
    filename: str | None = None
    url: str | None = None
    file_id: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    index: int | None = None


class Words(msgspec.Struct):
    """An item of text: a message or a thought."""

    type: str
    content: list[Part] | None = None
    summary: list[Part] | None = None
    phase: str | None = None


class Call(msgspec.Struct):
    """An item that calls a tool."""

    type: str
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | Wire | None = None
    """JSON text; an object from servers that think they help."""
    action: Wire | None = None
    actions: list[Wire] | None = None
    operation: Wire | None = None
    pending_safety_checks: list[Wire] | None = None


class Details(msgspec.Struct):
    """Parts of a token count."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """The token counts."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class Incomplete(msgspec.Struct):
    """Why a response is incomplete."""

    reason: str | None = None


class Response(msgspec.Struct):
    """The whole body."""

    id: str | None = None
    status: str | None = None
    model: str | None = None
    error: Any = None
    incomplete_details: Incomplete | None = None
    output: list[Wire] | None = None
    usage: WireUsage | None = None


_decoder = msgspec.json.Decoder(Response)


def read_response(reply: Reply, conversation: Conversation, *, strict: frozenset[str]) -> ModelTurn:
    """Read a response.

    Args:
        reply: What the endpoint answered.
        conversation: Which tools were offered.
        strict: Names of the functions that were offered in strict mode.

    Raises:
        WithheldError: A filter stopped it.
        ContextOverflowError: The conversation is too long.
        ProviderError: It is not a response, or says that it failed.
    """
    try:
        response = _decoder.decode(reply.body)
        if response.error or response.status not in ANSWERED:
            raise _failed(response)
        if response.output is None:
            raise ProviderError("the endpoint's answer is not a response: it has no output")
        return _turn(response, response.output, _Offered.of(conversation, strict), reply.request_id)
    except msgspec.MsgspecError as error:
        raise ProviderError(f"the endpoint's answer is not a response: {error}") from error


def _failed(response: Response) -> ProviderError:
    error = response.error if isinstance(response.error, dict) else {"message": response.error}
    code, message = error.get("code"), error.get("message") or "no reason given"
    text = f"the endpoint gave a response that is {response.status}: {message}"
    if is_withheld(code, text):
        return WithheldError(text, code=code, retry=False)
    if OVERFLOW.search(f"{code} {message}"):
        return ContextOverflowError(text)
    return ProviderError(text, retry=not isinstance(code, str) or code in TRANSIENT, overloaded=code in OVERLOADED)


def _turn(response: Response, output: list[Wire], offered: _Offered, request_id: str | None) -> ModelTurn:
    said = _Said.of([item for item in output if item.get("type") in ("message", "reasoning")])
    reason = response.incomplete_details.reason if response.incomplete_details else None
    cut_off = STOPS.get(reason or "", StopReason.TRUNCATED) if response.status == "incomplete" else None
    return ModelTurn(
        text=said.text or said.refusal,
        reasoning=said.reasoning,
        calls=tuple(_calls(output, offered)),
        stop=StopReason.REFUSED if said.refusal else cut_off,
        citations=said.citations,
        raw={"id": response.id or "", "output": output},
        model=response.model or "",
        usage=_usage(response.usage),
        finish=reason or response.status,
        request_id=request_id,
    )


# --- words ------------------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    text: str
    refusal: str
    reasoning: str
    citations: tuple[Citation, ...]

    @classmethod
    def of(cls, output: list[Wire]) -> _Said:
        words = msgspec.convert(output, list[Words])
        text, refusal, citations = "", "", []
        for part in _spoken(words):
            citations += [_citation(note, len(text)) for note in part.annotations or ()]
            text += part.text or ""
            refusal += part.refusal or ""
        return cls(text, refusal, "\n".join(_thoughts(words)), tuple(citations))


def _spoken(words: list[Words]) -> Iterator[Part]:
    """Give what the model said; where it tells its answer from what it said on the way, the answer alone."""
    messages = [item for item in words if item.type == "message"]
    for item in [item for item in messages if item.phase == "final_answer"] or messages:
        yield from item.content or ()


def _thoughts(words: list[Words]) -> Iterator[str]:
    """Give the summaries of the thoughts, or the thoughts themselves where a server shows them."""
    for item in words:
        if item.type == "reasoning":
            yield from (part.text for part in item.summary or item.content or () if part.text)


def _citation(annotation: Wire, offset: int) -> Citation:
    """Read an annotation; its places count from the beginning of the answer."""
    note = msgspec.convert(annotation, Note)
    start = note.index if note.start_index is None else note.start_index
    title = note.title or note.filename or ""
    return Citation(
        type=note.type or "citation",
        text=title,
        source=note.url or note.file_id or "",
        title=title,
        start_index=None if start is None else start + offset,
        end_index=None if note.end_index is None else note.end_index + offset,
        provider_data=annotation,
    )


# --- calls ------------------------------------------------------------------------------------------------------------


class _Offered(NamedTuple):
    """The tools that the model may have called, by what it calls them."""

    names: dict[str, str | None]
    """For each kind of call the name of the tool; None where functions name themselves."""
    schemas: dict[str, Wire]
    """The parameters of functions in strict mode."""

    @classmethod
    def of(cls, conversation: Conversation, strict: frozenset[str]) -> _Offered:
        here = [form for form in conversation.native if not form.hosted and form.api_type in CALLS]
        names: dict[str, str | None] = {CALLS[form.api_type]: form.name for form in here}
        schemas = {tool.name: tool.input_schema for tool in conversation.tools if tool.name in strict}
        return cls({**names, "function_call": None}, schemas)


def _calls(output: list[Wire], offered: _Offered) -> Iterator[ToolCall | MalformedCall]:
    """Read the calls, and make of them in the output what an endpoint takes back.

    An id that is missing or given twice is made up, since results are told by it; servers reject malformed arguments.
    """
    seen: set[str] = set()
    for place, item in enumerate(output):
        if item.get("type") not in offered.names:
            continue
        wire = msgspec.convert(item, Call)
        call_id = wire.call_id or wire.id or "call"
        item["call_id"] = call_id if call_id not in seen else f"{call_id}_{place}"
        seen.add(item["call_id"])
        call = _call(wire, item["call_id"], offered)
        if isinstance(call, MalformedCall):
            item["arguments"] = "{}"
        yield call


def _call(wire: Call, call_id: str, offered: _Offered) -> ToolCall | MalformedCall:
    name = offered.names[wire.type]
    if name is not None:
        return ToolCall(name, _native_arguments(wire), call_id)
    call = read_call(wire.name or "", wire.arguments, call_id)
    schema = offered.schemas.get(call.name)
    if schema is None or isinstance(call, MalformedCall):
        return call
    return ToolCall(call.name, without_fillers(call.arguments, schema), call_id)


def _native_arguments(wire: Call) -> Wire:
    """Give the arguments of a tool that the model knows by itself, as they are at the vendor's."""
    if wire.type == "computer_call" and wire.actions:
        return {"actions": wire.actions}
    return (wire.operation if wire.type == "apply_patch_call" else wire.action) or {}


def _usage(usage: WireUsage | None) -> Usage:
    if usage is None:
        return NO_USAGE
    read, made = usage.input_tokens_details or Details(), usage.output_tokens_details or Details()
    return Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cached_tokens=read.cached_tokens or 0,
        cache_write_tokens=read.cache_write_tokens or 0,
        reasoning_tokens=made.reasoning_tokens or 0,
    )
