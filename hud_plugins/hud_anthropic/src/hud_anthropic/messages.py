"""A conversation as messages of the API."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from hud_core.agents.conversation import ModelTurn, ToolTurn
from hud_core.model.content import AudioContent, ImageContent, Message, TextContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.agents.conversation import Conversation
    from hud_core.model.content import Content, ResourceContent
    from hud_core.model.tools import ToolResult

Wire = dict[str, Any]

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""The kinds of images that the models see."""
PDF = "application/pdf"
TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")
"""How the kinds of documents begin that are text."""


def wire_system(conversation: Conversation, *more: str) -> str:
    """Give the system prompt: the agent's, the task's, and the prompt's own messages of that role."""
    own = [turn.text for turn in conversation.turns if isinstance(turn, Message) and turn.role == "system"]
    return "\n\n".join(filter(None, (conversation.system, *own, *more)))


def wire_messages(conversation: Conversation, *, citable: bool) -> list[Wire]:
    """Make the messages of a request; the model's own turns go back as they came.

    Args:
        conversation: What was said.
        citable: Whether the model is to cite documents.
    """
    writer = _Writer(citable=citable)
    messages: list[Wire] = []
    for turn in conversation.turns:
        if isinstance(turn, ModelTurn):
            if turn.raw["content"]:
                messages.append({"role": "assistant", "content": turn.raw["content"]})
                writer.families = {b["id"]: b["toolset_name"] for b in turn.raw["content"] if b.get("toolset_name")}
        elif isinstance(turn, ToolTurn):
            messages.append({"role": "user", "content": writer.results(turn)})
        elif turn.role != "system":
            messages.append({"role": turn.role, "content": writer.blocks(turn.content) or [_text("(empty)")]})
    return messages


def container_of(conversation: Conversation) -> str | None:
    """Give the id of the container that the vendor ran code in, for the next request to run in it."""
    containers = (turn.raw.get("container") for turn in reversed(conversation.turns) if isinstance(turn, ModelTurn))
    return next((container["id"] for container in containers if container), None)


class _Writer:
    """Writes content as blocks."""

    def __init__(self, *, citable: bool) -> None:
        self.families: dict[str, str] = {}
        """The toolsets of the last turn's calls, by the calls' ids."""
        self._citable = citable

    def blocks(self, content: Iterable[Content]) -> list[Wire]:
        """Write content; blank text is left out, as the API refuses it."""
        return [
            self._block(block) for block in content if not isinstance(block, TextContent) or not _is_blank(block.text)
        ]

    def results(self, turn: ToolTurn) -> list[Wire]:
        """Write the results of a turn, and behind them all what cannot stand in them: images of failed calls."""
        results, beside = [], []
        for call, result in turn.results:
            content = self.blocks(result.content) or [_text(_plain(result))]
            if result.is_error:
                beside += [block for block in content if block["type"] != "text"]
                content = [block for block in content if block["type"] == "text"] or [_text("(see below)")]
            wire: Wire = {"type": "tool_result", "tool_use_id": call.id, "content": content}
            if call.id in self.families:
                wire["toolset_name"] = self.families[call.id]
            results.append({**wire, "is_error": True} if result.is_error else wire)
        return [*results, *beside]

    def _block(self, block: Content) -> Wire:
        if isinstance(block, TextContent):
            return _text(block.text)
        if isinstance(block, ImageContent):
            return _image(block.mime_type, block.data)
        if isinstance(block, AudioContent):
            return _text(f"(a sound of type {block.mime_type}, which you cannot hear)")
        return self._resource(block)

    def _resource(self, block: ResourceContent) -> Wire:
        kind = block.mime_type or ""
        if block.text is not None or block.data is None:
            return _text(block.uri) if _is_blank(block.text or "") else self._document(block, _plain_source(block.text))
        if kind.startswith("image/"):
            return _image(kind, block.data)
        if kind == PDF:
            return self._document(block, {"type": "base64", "media_type": PDF, "data": block.data})
        if kind.startswith(TEXTS):
            text = base64.b64decode(block.data).decode("utf-8", errors="replace")
            return _text(block.uri) if _is_blank(text) else self._document(block, _plain_source(text))
        return _text(f"(a file of type {kind or 'application/octet-stream'}, which you cannot read: {block.uri})")

    def _document(self, block: ResourceContent, source: Wire) -> Wire:
        title = block.uri.rstrip("/").rpartition("/")[2]
        document: Wire = {"type": "document", "source": source, **({"title": title} if title else {})}
        return {**document, "citations": {"enabled": True}} if self._citable else document


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _text(text: str) -> Wire:
    return {"type": "text", "text": text}


def _plain_source(text: str | None) -> Wire:
    return {"type": "text", "media_type": "text/plain", "data": text}


def _image(kind: str, data: str) -> Wire:
    if kind not in IMAGES:
        return _text(f"(an image of type {kind}, which you cannot see)")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _plain(result: ToolResult) -> str:
    """Say what a result without content gave."""
    return "(no output)" if result.structured_content is None else json.dumps(result.structured_content)


# --- prompt caching ---------------------------------------------------------------------------------------------------


def mark_for_cache(body: Wire, mark: Wire) -> None:
    """Mark up to where the endpoint is to remember a request: its tools, its system prompt, its last two user messages.

    These are the four marks that a request may have. The last message is what the next turn finds; the one before it is
    what this turn finds, even where more than the twenty blocks lie between that the endpoint looks back by itself.
    """
    if tools := body.get("tools"):
        last = max(place for place, tool in enumerate(tools) if not tool.get("defer_loading"))
        tools[last] = {**tools[last], "cache_control": mark}
    if system := body.get("system"):
        body["system"] = [{**_text(system), "cache_control": mark}]
    users = [message for message in body["messages"] if message["role"] == "user"]
    for message in users[-2:]:
        message["content"] = [*message["content"][:-1], {**message["content"][-1], "cache_control": mark}]
