"""A conversation as messages of the API."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from hud_core.agents.conversation import ModelTurn, ToolTurn
from hud_core.agents.written import WrittenOnce
from hud_core.model.content import AudioContent, ImageContent, TextContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.agents.conversation import Conversation, Turn
    from hud_core.model.content import Content, ResourceContent
    from hud_core.model.tools import ToolResult

Wire = dict[str, Any]

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""The kinds of images that the models see."""
PDF = "application/pdf"
TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")
"""How the kinds of documents begin that are text."""


class Written(WrittenOnce[bool]):
    """A conversation as messages.

    Args:
        conversation: What was said.
        how: Whether the model is to cite documents.
    """

    def __init__(self, conversation: Conversation, how: bool) -> None:  # noqa: FBT001  a base class's way to say it
        super().__init__(conversation, how)
        self.messages: list[Wire] = []
        """What was said, the model's own turns as they came."""
        self.systems: list[str] = []
        """The prompt's own messages of the role ``system``, which have no place among the others."""
        self.container: str | None = None
        """The id of the container that the vendor ran code in, for the next request to run in it."""
        self._writer = _Writer(citable=how)

    def add(self, turn: Turn) -> None:
        """Write a turn."""
        if isinstance(turn, ModelTurn):
            self._add_said(turn.raw)
        elif isinstance(turn, ToolTurn):
            self.messages.append({"role": "user", "content": self._writer.results(turn)})
        elif turn.role == "system":
            self.systems.append(turn.text)
        else:
            content = self._writer.blocks(turn.content) or [_text("(empty)")]
            self.messages.append({"role": turn.role, "content": content})

    def _add_said(self, raw: Wire) -> None:
        if container := raw.get("container"):
            self.container = container["id"]
        if content := raw["content"]:
            self.messages.append({"role": "assistant", "content": content})
            calls = [block for block in content if block["type"] == "tool_use" and block.get("toolset_name")]
            self._writer.families = {call["id"]: call["toolset_name"] for call in calls}


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
    messages = body["messages"]
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    for place in users[-2:]:  # in a copy: the next request holds the message without it
        *content, last = messages[place]["content"]
        messages[place] = {**messages[place], "content": [*content, {**last, "cache_control": mark}]}
