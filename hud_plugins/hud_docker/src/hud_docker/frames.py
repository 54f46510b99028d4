"""What an engine sends for a container without a terminal: frames of stdout and stderr, in one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_docker.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT, STDERR = 1, 2
"""The streams that a container writes."""
_HEADER = 8
"""A frame begins with its stream's number, three zeros, and the length of its data as four bytes, big end first."""


class Demultiplexer:
    """Tells the streams apart, whatever pieces their frames arrive in. Data is passed on as it comes, frame or not."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give the pieces of data, each with the number of its stream, in their order.

        Raises:
            EngineError: These are no frames, as of a container with a terminal.
        """
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                self._left -= len(piece)
                yield self._stream, piece
                position += len(piece)
            else:
                position += self._take_header(data[position : position + _HEADER - len(self._header)])

    def _take_header(self, data: bytes) -> int:
        """Take more bytes of a header, and say how many that were."""
        self._header += data
        if self._header[0] > STDERR or any(self._header[1:4]):
            msg = f"the engine sent {bytes(self._header)!r}, which is no frame; a container must not have a terminal"
            raise EngineError(msg)
        if len(self._header) == _HEADER:
            # 0 is stdin, which engines echo where they are asked to; whoever is asked for streams 1 and 2 drops it.
            self._stream, self._left = self._header[0], int.from_bytes(self._header[4:], "big")
            self._header.clear()
        return len(data)
