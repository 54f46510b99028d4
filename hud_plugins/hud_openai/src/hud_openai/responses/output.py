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
from hud_openai.responses.tools import COMPUTERS
from hud_openai.schemas import without_fillers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud_core.agents import Conversation
    from hud_openai.client import Reply

Wire = dict[str, Any]

STOPS = {"max_output_tokens": StopReason.TRUNCATED, "content_filter": StopReason.CONTENT_FILTER}
"""The reasons for an incomplete response that mean something; any other, and none, is that it was cut off."""
OVERLOADED = ("rate_limit_exceeded", "server_is_overloaded", "slow_down")
TRANSIENT = ("server_error", "vector_store_timeout", *OVERLOADED)
"""Codes of a failed response that another try may change."""
ANSWERED = ("completed", "incomplete", None)
"""The states of a response that hold an answer."""


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
    response = _decoded(reply)
    output = [dict(item) for item in response["output"]]
    said = _Said.of(output)
    calls = tuple(_calls(output, _Offered.of(conversation, strict=strict)))
    reason: str = (response.get("incomplete_details") or {}).get("reason") or ""
    cut_off = STOPS.get(reason, StopReason.TRUNCATED) if response.get("status") == "incomplete" else None
    return ModelTurn(
        text=said.text or said.refusal,
        reasoning=said.reasoning,
        calls=calls,
        stop=StopReason.REFUSED if said.refusal else cut_off,
        citations=said.citations,
        raw={"id": response.get("id") or "", "output": output},
        model=response.get("model") or "",
        usage=_usage(response.get("usage")),
        finish=reason or response.get("status"),
        request_id=reply.request_id,
    )


def _decoded(reply: Reply) -> Wire:
    try:
        response = msgspec.json.decode(reply.body)
    except msgspec.MsgspecError as error:
        raise ProviderError(f"the endpoint's answer is not a response: {error}") from error
    if not isinstance(response, dict):
        raise ProviderError(f"the endpoint's answer is not a response but a JSON {type(response).__name__}")
    failure, status = response.get("error"), response.get("status")
    if failure or status not in ANSWERED:
        raise _failed(failure if isinstance(failure, dict) else {"message": failure}, status)
    output = response.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise ProviderError("the endpoint's answer is not a response: its output is not a list of items")
    return response


def _failed(error: Wire, status: object) -> ProviderError:
    code, message = error.get("code"), error.get("message") or "no reason given"
    text = f"the endpoint gave a response that is {status}: {message}"
    if is_withheld(code, text):
        return WithheldError(text, code=code, retry=False)
    if OVERFLOW.search(f"{code} {message}"):
        return ContextOverflowError(text)
    return ProviderError(text, retry=code is None or code in TRANSIENT, overloaded=code in OVERLOADED)


# --- words ------------------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    text: str
    refusal: str
    reasoning: str
    citations: tuple[Citation, ...]

    @classmethod
    def of(cls, output: list[Wire]) -> _Said:
        parts = [part for item in _messages(output) for part in item.get("content") or () if isinstance(part, dict)]
        text, citations = "", []
        for part in parts:
            if part.get("type") == "output_text":
                citations += [_citation(note, len(text)) for note in part.get("annotations") or ()]
                text += part.get("text") or ""
        refusal = "".join(part.get("refusal") or "" for part in parts if part.get("type") == "refusal")
        return cls(text, refusal, "\n".join(_thoughts(output)), tuple(citations))


def _messages(output: list[Wire]) -> list[Wire]:
    """Give what the model said; where it tells its answer from what it said on the way, the answer alone."""
    messages = [item for item in output if item.get("type") == "message"]
    return [item for item in messages if item.get("phase") == "final_answer"] or messages


def _thoughts(output: list[Wire]) -> Iterator[str]:
    """Give the summaries of the thoughts, or the thoughts themselves where a server shows them."""
    for item in output:
        if item.get("type") == "reasoning":
            parts = item.get("summary") or item.get("content") or ()
            yield from (part["text"] for part in parts if isinstance(part, dict) and part.get("text"))


def _citation(note: Wire, offset: int) -> Citation:
    """Read an annotation; its places count from the beginning of the answer."""
    start, end = note.get("start_index", note.get("index")), note.get("end_index")
    title = note.get("title") or note.get("filename") or ""
    return Citation(
        type=note.get("type") or "citation",
        text=title,
        source=note.get("url") or note.get("file_id") or "",
        title=title,
        start_index=None if start is None else start + offset,
        end_index=None if end is None else end + offset,
        provider_data=note,
    )


# --- calls ------------------------------------------------------------------------------------------------------------


class _Offered(NamedTuple):
    """The tools that the model may have called, by what it calls them."""

    native: dict[str, str]
    """For each kind of call the name of the tool, where the tool runs here."""
    schemas: dict[str, Wire]
    """The parameters of functions in strict mode."""

    @classmethod
    def of(cls, conversation: Conversation, *, strict: frozenset[str]) -> _Offered:
        here = {form.api_type: form.name for form in conversation.native if not form.hosted}
        native = {"shell_call": here.get("shell"), "apply_patch_call": here.get("apply_patch")}
        native["computer_call"] = next((here[kind] for kind in COMPUTERS if kind in here), None)
        schemas = {tool.name: tool.input_schema for tool in conversation.tools if tool.name in strict}
        return cls({kind: name for kind, name in native.items() if name}, schemas)


def _calls(output: list[Wire], offered: _Offered) -> Iterator[ToolCall | MalformedCall]:
    """Read the calls. An id that is missing or given twice is made up, since results are told by it."""
    seen: set[str] = set()
    for place, item in enumerate(output):
        kind = item.get("type")
        if kind != "function_call" and kind not in offered.native:
            continue
        call_id = item.get("call_id") or item.get("id") or "call"
        item["call_id"] = call_id if call_id not in seen else f"{call_id}_{place}"
        seen.add(item["call_id"])
        yield _function(item, offered) if kind == "function_call" else _native(item, offered.native[kind])


def _function(item: Wire, offered: _Offered) -> ToolCall | MalformedCall:
    name = item.get("name") or ""
    call = read_call(name, item.get("arguments"), item["call_id"])
    if isinstance(call, MalformedCall):
        item["arguments"] = "{}"  # servers reject a conversation that holds malformed ones
    elif name in offered.schemas:
        return ToolCall(name, without_fillers(call.arguments, offered.schemas[name]), call.id)
    return call


def _native(item: Wire, name: str) -> ToolCall:
    """Read a call of a tool that the model knows by itself, with the arguments that it has at the vendor's."""
    if item["type"] == "computer_call" and item.get("actions"):
        arguments = {"actions": item["actions"]}
    elif item["type"] == "apply_patch_call":
        arguments = item.get("operation") or {}
    else:
        arguments = item.get("action") or {}
    return ToolCall(name, arguments, item["call_id"])


def _usage(usage: Wire | None) -> Usage:
    if not usage:
        return NO_USAGE
    read, made = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cached_tokens=read.get("cached_tokens") or 0,
        cache_write_tokens=read.get("cache_write_tokens") or 0,
        reasoning_tokens=made.get("reasoning_tokens") or 0,
    )
