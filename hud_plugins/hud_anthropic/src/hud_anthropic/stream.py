"""A message, put together from the events of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Events that add to a block, and where they hold what they add."""


class Block:
    """A block of the message, while it grows."""

    __slots__ = ("_kind", "_pieces", "wire")

    def __init__(self, wire: dict[str, Any]) -> None:
        self.wire = wire
        self._kind = ""
        self._pieces: list[str] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add what an event brings."""
        kind = delta.get("type", "")
        if kind in GROWING:
            self._kind = kind
            self._pieces.append(delta.get(GROWING[kind]) or "")
        elif kind == "citations_delta":
            self.wire["citations"] = [*(self.wire.get("citations") or ()), delta["citation"]]
        else:  # a signature, and whatever else there will be: fields that come whole
            self.wire.update((name, value) for name, value in delta.items() if name != "type")

    @property
    def whole(self) -> dict[str, Any]:
        """The block; arguments of tools are text still."""
        if not self._pieces:
            return self.wire
        added = "".join(self._pieces)
        if self._kind == "input_json_delta":
            return {**self.wire, "input": added or self.wire.get("input")}
        field = GROWING[self._kind]
        return {**self.wire, field: (self.wire.get(field) or "") + added}


class Reader:
    """Reads a stream; `feed` takes its events as they come."""

    def __init__(self) -> None:
        self._start: dict[str, Any] = {}
        self._end: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._is_whole = False

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take one event; kinds that are not known are passed over.

        Raises:
            ProviderError: It does not belong where it is.
        """
        kind = event.get("type")
        try:
            if kind == "content_block_delta":
                self._blocks[event["index"]].add(event["delta"])
            elif kind == "content_block_start":
                self._blocks[event["index"]] = Block(dict(event["content_block"]))
            elif kind == "message_start":
                self._start = event["message"]
                self._count(self._start.get("usage"))
            elif kind == "message_delta":
                self._end.update(event["delta"])
                self._count(event.get("usage"))
            elif kind == "message_stop":
                self._is_whole = True
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProviderError(f"the endpoint sent a {kind} event that makes no sense here: {error!r}") from error

    @property
    def message(self) -> dict[str, Any]:
        """The whole message.

        Raises:
            ProviderError: The stream was cut: nothing of it counts.
        """
        if not self._is_whole or not self._start:
            raise ProviderError("the endpoint broke off its answer: the stream ended before the message did")
        content = [block.whole for _, block in sorted(self._blocks.items())]
        return {**self._start, **self._end, "content": content, "usage": self._usage}

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        """Take counts, which are of all so far; what is left out stays as it was."""
        self._usage.update((name, value) for name, value in (usage or {}).items() if value is not None)
