"""A message of the model as a turn of the conversation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from hud_core.agents.conversation import MalformedCall, ModelTurn, read_call
from hud_core.errors import ProviderError
from hud_core.model.content import Citation
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Usage
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_anthropic.client import Reply

Wire = dict[str, Any]

STOPS = {
    "max_tokens": StopReason.TRUNCATED,
    "refusal": StopReason.REFUSED,
    "model_context_window_exceeded": StopReason.CONTEXT_OVERFLOW,
}
"""The words for why a turn ended that mean something. Others, known and unknown, say what the turn itself shows."""
THOUGHTS = ("thinking", "redacted_thinking")


def read_reply(reply: Reply, toolsets: Mapping[str, str]) -> ModelTurn:
    """Read a message.

    Args:
        reply: The message.
        toolsets: The names of the tools that are offered as a family of tools, by the family's name.

    Raises:
        ProviderError: It is no message: gateways write null, or anything, where the API has something else.
    """
    try:
        return _read(reply, toolsets)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(f"the endpoint's message makes no sense: {error!r}") from error


def hosted_calls(turn: ModelTurn) -> list[str]:
    """Name the tools that the vendor ran itself in a turn, with their arguments."""
    hosted = [
        block for block in turn.raw["content"] if block["type"].endswith("tool_use") and block["type"] != "tool_use"
    ]
    return [f"{block.get('name')} {json.dumps(block.get('input'))}" for block in hosted]


def _read(reply: Reply, toolsets: Mapping[str, str]) -> ModelTurn:
    message = reply.message
    blocks, calls = _settled(message["content"], toolsets)
    text, citations = _answer(blocks)
    finish = None if message.get("stop_reason") is None else str(message["stop_reason"])
    raw: Wire = {"role": "assistant", "content": blocks}
    container = message.get("container")
    if isinstance(container, dict) and container.get("id"):  # the next request names it
        raw["container"] = container
    return ModelTurn(
        text=text or _explanation(message.get("stop_details")),
        reasoning="\n\n".join(block["thinking"] for block in blocks if block.get("thinking")),
        calls=calls,
        stop=STOPS.get(finish or ""),
        paused=finish == "pause_turn",
        citations=citations,
        raw=raw,
        model=str(message.get("model") or ""),
        usage=_usage(message["usage"]),
        finish=finish,
        request_id=reply.request_id,
    )


def _settled(
    content: Sequence[Wire], toolsets: Mapping[str, str]
) -> tuple[list[Wire], tuple[ToolCall | MalformedCall, ...]]:
    """Give the blocks as the API takes them back, and the calls among them.

    Blank text is left out, as the API refuses it. An id that is missing or given twice is made up, since results are
    told by it. Arguments become data; of malformed ones nothing is left, and the tool's result says what was wrong.
    """
    blocks: list[Wire] = []
    calls: dict[str, ToolCall | MalformedCall] = {}
    for place, block in enumerate(content):
        if block.get("type") == "tool_use":
            given = str(block.get("id") or "")
            call_id = given if given and given not in calls else f"{given or 'call'}_{place}"
            call = read_call(str(block.get("name") or ""), block.get("input"), call_id)
            calls[call_id] = _of_family(call, toolsets.get(block.get("toolset_name") or ""))
            blocks.append({**block, "id": call_id, "input": _arguments(call)})
        elif isinstance(block.get("input"), str):  # a call of a tool that the vendor runs
            blocks.append({**block, "input": _arguments(read_call("", block["input"]))})
        elif block["type"] != "text" or (block.get("text") or "").strip():
            blocks.append(block)
    return blocks, tuple(calls.values())


def _of_family(call: ToolCall | MalformedCall, name: str | None) -> ToolCall | MalformedCall:
    """Make the call of a member of a toolset one of the tool behind it, whose argument ``action`` the member is."""
    if name is None:
        return call
    if isinstance(call, MalformedCall):
        return evolve(call, name=name)
    return ToolCall(name, {"action": call.name, **call.arguments}, call.id)


def _arguments(call: ToolCall | MalformedCall) -> dict[str, Any]:
    return {} if isinstance(call, MalformedCall) else call.arguments


def _answer(blocks: Sequence[Wire]) -> tuple[str, tuple[Citation, ...]]:
    """Give the text with its sources. What is said before a hosted tool ran is no answer, unless nothing follows."""
    hosted = [i for i, block in enumerate(blocks) if block["type"] not in ("text", "tool_use", *THOUGHTS)]
    start = hosted[-1] + 1 if hosted else 0
    texts = [block for block in blocks[start:] if block["type"] == "text"]
    texts = texts or [block for block in blocks if block["type"] == "text"]
    citations: list[Citation] = []
    text = ""
    for block in texts:
        begin, text = len(text), text + block["text"]
        citations += [_citation(wire, begin, len(text)) for wire in block.get("citations") or ()]
    return text, tuple(citations)


def _citation(wire: Mapping[str, Any], begin: int, end: int) -> Citation:
    """Read a citation; its indices are those of the sentence in the answer, the vendor's own are in `provider_data`."""
    title = wire.get("document_title") or wire.get("title") or ""
    source = wire.get("url") or wire.get("source") or title
    if not source and "document_index" in wire:
        source = f"document {wire['document_index']}"
    return Citation(
        type=wire.get("type") or "citation",
        text=wire.get("cited_text") or "",
        source=source,
        title=title,
        start_index=begin,
        end_index=end,
        provider_data=dict(wire),
    )


def _explanation(details: Mapping[str, Any] | None) -> str:
    """Give why the model refused, where it says so beside its text."""
    return str((details or {}).get("explanation") or "")


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Count all input as input: the API counts what was read from its cache, or written to it, beside the rest."""
    read, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
    return Usage(
        input_tokens=usage.get("input_tokens", 0) + read + written,
        output_tokens=usage.get("output_tokens", 0),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
    )
