"""A conversation as chat-completions messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import evolve

from hud_core.agents.conversation import ModelTurn, ToolTurn
from hud_core.agents.written import WrittenOnce
from hud_core.model.content import AudioContent, ImageContent, TextContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hud_core.agents.conversation import Conversation, Turn
    from hud_core.agents.native import NativeTool
    from hud_core.model.content import Content, Message, ResourceContent
    from hud_core.model.tools import Tool, ToolResult

Wire = dict[str, Any]


class Written(WrittenOnce["tuple[Tool, ...]"]):
    """A conversation as JSON.

    Args:
        conversation: What was said.
        how: The tools to offer.
    """

    def __init__(self, conversation: Conversation, how: tuple[Tool, ...]) -> None:
        super().__init__(conversation, how)
        self.tools = msgspec.Raw(msgspec.json.encode(wire_tools(how)))
        """The tools of a request."""
        self._said = bytearray()  # messages with a comma behind each

    def add(self, turn: Turn) -> None:
        """Write a turn; the model's own go back as they came."""
        self._said += b"".join([msgspec.json.encode(message) + b"," for message in wire_messages(turn)])

    def messages(self, system: str) -> msgspec.Raw:
        """Give the messages of a request, with what the model is told first."""
        first = msgspec.json.encode({"role": "system", "content": system}) + b"," if system else b""
        if not self._said:
            return msgspec.Raw(b"[%b]" % first[:-1])
        with memoryview(self._said) as said:  # may be long, with pictures in it: it is copied but once
            return msgspec.Raw(b"".join((b"[", first, said[:-1], b"]")))


def wire_messages(turn: Turn) -> list[Wire]:
    """Give the messages that a turn is told by."""
    if isinstance(turn, ModelTurn):
        return [turn.raw]
    return list(_results(turn)) if isinstance(turn, ToolTurn) else [_message(turn)]


def offer_as_functions(conversation: Conversation, forms: Sequence[NativeTool]) -> None:
    """Take native tools out of an offer, and offer those that run here as functions instead."""
    conversation.native = tuple(form for form in conversation.native if form not in forms)
    conversation.tools += tuple(
        evolve(form.tool, name=form.name) for form in forms if form.tool is not None and not form.hosted
    )


def wire_tools(tools: Sequence[Tool]) -> list[Wire]:
    """Make the tools of a request."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
        }
        for tool in tools
    ]


def _message(message: Message) -> Wire:
    is_plain = message.role != "user" or len(message.content) == 1  # only users may say several things at once
    if is_plain and all(isinstance(block, TextContent) for block in message.content):
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [_part(block) for block in message.content]}


def _part(block: Content) -> Wire:
    if isinstance(block, TextContent):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageContent):
        return _image(block.mime_type, block.data)
    if isinstance(block, AudioContent):
        kind = "mp3" if "mp" in block.mime_type else block.mime_type.rpartition("/")[2].removeprefix("x-")
        return {"type": "input_audio", "input_audio": {"data": block.data, "format": kind}}
    return _document(block)


def _image(mime_type: str, data: str) -> Wire:
    return {"type": "image_url", "image_url": {"url": f"data:{mime_type};base64,{data}"}}


def _document(block: ResourceContent) -> Wire:
    mime_type = block.mime_type or "application/octet-stream"
    if block.text is not None or block.data is None:
        return {"type": "text", "text": "\n".join(filter(None, (block.uri, block.text)))}
    if mime_type.startswith("image/"):
        return _image(mime_type, block.data)
    name = block.uri.rstrip("/").rpartition("/")[2]
    return {"type": "file", "file": {"filename": name, "file_data": f"data:{mime_type};base64,{block.data}"}}


# --- tool results -----------------------------------------------------------------------------------------------------


def _results(turn: ToolTurn) -> Iterable[Wire]:
    """Give one message for each call, then what is not text in a user message: tool messages hold text alone."""
    beside: list[Wire] = []
    for call, result in turn.results:
        parts = [_part(block) for block in result.content]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        others = [part for part in parts if part["type"] != "text"]
        yield {"role": "tool", "tool_call_id": call.id, "content": _text(result, texts, len(others))}
        if others:
            title = f"From tool {call.name!r}, call {call.id}:"
            beside += [{"type": "text", "text": title}, *others]
    if beside:
        yield {"role": "user", "content": beside}


def _text(result: ToolResult, texts: list[str], beside: int) -> str:
    lines = texts
    if not texts and result.structured_content is not None:
        lines = [json.dumps(result.structured_content)]
    if beside:
        lines = [*lines, f"({beside} attached below)"]
    text = "\n".join(lines) or "(no output)"
    return f"[tool error] {text}" if result.is_error else text
