"""A message, put together from the events of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def read_events(body: bytes) -> Iterator[object]:
    """Give the data of server-sent events.

    Raises:
        ProviderError: The data of one is not JSON.
    """
    data: list[bytes] = []
    for line in (*body.splitlines(), b""):
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif not line and data:
            yield _read_json(b"\n".join(data))
            data = []


def _read_json(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProviderError(f"the endpoint sent what is not JSON: {error}") from error


def read_error(body: object) -> tuple[str, str]:
    """Give what an error says, and of which kind it is: empty where it does not tell."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("message") or ""), str(error.get("type") or "")


class Reader:
    """Reads a stream; `feed` takes its events as they come."""

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None
        """What the endpoint said when it broke off, and the kind of that error."""
        self._start: dict[str, Any] = {}
        self._end: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._is_whole = False

    def feed(self, event: Any) -> None:  # noqa: ANN401  whatever JSON the endpoint sends
        """Take one event; kinds that are not known are passed over, what makes no sense is an error."""
        try:
            self._take(event["type"], event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.error = self.error or (f"an event makes no sense, {error!r}: {event!r:.200}", "")

    def feed_whole(self, body: bytes) -> None:
        """Take a message that is not streamed.

        Raises:
            ProviderError: It is not JSON.
        """
        message = _read_json(body)
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            self.error = read_error(message)
            return
        self.feed({"type": "message_start", "message": message})
        for index, block in enumerate(message["content"]):
            self.feed({"type": "content_block_start", "index": index, "content_block": block})
        self.feed({"type": "message_stop"})

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

    def _take(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "content_block_delta":
            self._blocks[event["index"]].add(event["delta"])
        elif kind == "content_block_start":
            self._blocks[event["index"]] = Block(dict(event["content_block"]))
        elif kind == "message_start":
            self._start = dict(event["message"])
            self._count(self._start.get("usage"))
        elif kind == "message_delta":
            self._end.update(event["delta"])
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self._is_whole = True
        elif kind == "error":
            self.error = self.error or read_error(event)

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        """Take counts, which are of all so far; what is left out stays as it was."""
        self._usage.update((name, value) for name, value in (usage or {}).items() if value is not None)
