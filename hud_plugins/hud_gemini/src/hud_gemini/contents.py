"""A conversation as the ``contents`` of a request."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import attrs

from hud_core.agents.conversation import ModelTurn, ToolTurn
from hud_core.agents.written import WrittenOnce
from hud_core.model.content import AudioContent, ImageContent, Message, TextContent
from hud_gemini.computer import computer_response
from hud_gemini.tools import computer_of, wire_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.agents.conversation import Conversation, MalformedCall, Turn
    from hud_core.model.content import Content
    from hud_core.model.tools import ToolCall, ToolResult
    from hud_gemini.config import GeminiConfig

Wire = dict[str, Any]

INSIDE = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""Media types that a function response may hold."""
MULTIMODAL = re.compile(r"gemini-(?![12][.-])|.*computer-use")
"""Models that read media inside a function response: from Gemini 3 on, and those that operate a computer."""


def wire_system(conversation: Conversation) -> str:
    """Give what the model is told first; the messages that scenarios mark as the system's are part of it."""
    messages = [turn for turn in conversation.turns if isinstance(turn, Message) and turn.role == "system"]
    return "\n\n".join(filter(None, (conversation.system, *(message.text for message in messages))))


class Written(WrittenOnce["GeminiConfig"]):
    """A conversation as contents.

    Where the model operates a computer, all of them are made again, as old screenshots are left out of them.

    Args:
        conversation: What is offered and said.
        how: The agent's settings.
    """

    def __init__(self, conversation: Conversation, how: GeminiConfig) -> None:
        super().__init__(conversation, how)
        self.contents: list[Wire] = []
        """What was said, the model's own turns as they came, with their signatures."""
        self.functions: list[Wire] = wire_functions(conversation.tools)
        form = computer_of(conversation.native)
        self._results = _Results(
            computer=form.name if form else None,
            takes_media=MULTIMODAL.match((how.model or "").lower().rpartition("/")[2]) is not None,
            blind=_blind(conversation, form.name if form else None, how.recent_screenshots),
        )
        self._lasts = form is None
        self._tools = conversation.tools
        self._calls: list[Wire] = []

    def fits(self, conversation: Conversation) -> bool:
        """Whether a conversation offers what is written, and no screenshot in it grows old."""
        return self._lasts and conversation.tools is self._tools

    def add(self, turn: Turn) -> None:
        """Write a turn."""
        if isinstance(turn, ModelTurn):
            self.contents.append(turn.raw)
            self._calls = [part["functionCall"] for part in turn.raw["parts"] if part.get("functionCall")]
        elif isinstance(turn, ToolTurn):
            self.contents.append({"role": "user", "parts": self._results.parts(len(self.turns), turn, self._calls)})
        elif turn.role != "system":
            role = "model" if turn.role == "assistant" else "user"
            self.contents.append({"role": role, "parts": [_part(block) for block in turn.content]})


def _part(block: Content) -> Wire:
    if isinstance(block, TextContent):
        return {"text": block.text}
    if isinstance(block, ImageContent | AudioContent):
        return _media(block.mime_type, block.data)
    if block.text is not None or block.data is None:
        return {"text": "\n".join(filter(None, (block.uri, block.text)))}
    return _media(block.mime_type or "application/octet-stream", block.data)


def _media(mime_type: str, data: str) -> Wire:
    return {"inlineData": {"mimeType": mime_type, "data": data}}


# --- tool results -----------------------------------------------------------------------------------------------------


def _blind(conversation: Conversation, computer: str | None, recent: int | None) -> frozenset[int]:
    """Say at which places the turns are whose screenshots are too old to be sent again."""
    if recent is None or computer is None:
        return frozenset()
    seen = [
        place
        for place, turn in enumerate(conversation.turns)
        if isinstance(turn, ToolTurn) and any(_is_screenshot(call, result, computer) for call, result in turn.results)
    ]
    return frozenset(seen[: max(0, len(seen) - recent)])


def _is_screenshot(call: ToolCall | MalformedCall, result: ToolResult, computer: str) -> bool:
    return call.name == computer and any(isinstance(block, ImageContent) for block in result.content)


class _Results:
    """Makes the parts that tell the model what its calls gave.

    Args:
        computer: The name of the native computer tool.
        takes_media: Whether the model's function responses may hold media.
        blind: Places of turns whose screenshots are left out.
    """

    def __init__(self, *, computer: str | None, takes_media: bool, blind: frozenset[int]) -> None:
        self._computer = computer
        self._takes_media = takes_media
        self._blind = blind

    def parts(self, place: int, turn: ToolTurn, calls: Sequence[Wire]) -> list[Wire]:
        """Give one response for each call, under the name and id that the model gave it, then what fits into none."""
        parts: list[Wire] = []
        beside: list[Wire] = []
        for (call, result), wire in zip_longest(turn.results, calls[: len(turn.results)]):
            if wire is None:  # a call that came as no call at all
                parts.append({"text": result.text})
                continue
            is_computer = call.name == self._computer
            if is_computer and place in self._blind:
                result = _without_images(result)  # noqa: PLW2901
            inside, outside = self._media_of(result)
            answer = computer_response(wire, result) if is_computer else _response(result, len(outside))
            response = {"name": wire.get("name", call.name), "response": answer}
            parts.append({"functionResponse": response | _known(id=wire.get("id"), parts=inside)})
            if outside:
                beside += [{"text": f"From tool {call.name!r}, call {call.id}:"}, *outside]
        return parts + beside

    def _media_of(self, result: ToolResult) -> tuple[list[Wire], list[Wire]]:
        """Give what is not text: what goes into the function response, and what goes beside it."""
        inside: list[Wire] = []
        outside: list[Wire] = []
        for part in map(_part, result.content):
            if media := part.get("inlineData"):
                (inside if self._takes_media and media["mimeType"] in INSIDE else outside).append(part)
        return inside, outside


def _response(result: ToolResult, beside: int) -> Wire:
    """Tell what a call gave: its text; without any, what it gave as data."""
    texts = [part["text"] for part in map(_part, result.content) if part.get("text")]
    told: Any = "\n".join([*texts, f"({beside} attached below)"] if beside else texts) or "(no output)"
    if not texts and not beside and result.structured_content is not None:
        told = result.structured_content
    return {"error" if result.is_error else "output": told}


def _without_images(result: ToolResult) -> ToolResult:
    return attrs.evolve(result, content=[block for block in result.content if not isinstance(block, ImageContent)])


def _known(**fields: object) -> Wire:
    return {name: value for name, value in fields.items() if value}
