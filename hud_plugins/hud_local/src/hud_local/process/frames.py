"""Frames: pieces of bytes on a stream, each behind its length."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAME = 64 << 20
"""Bytes in a frame at the most."""
_LENGTH = struct.Struct("!I")


class FrameError(ValueError):
    """A frame that is longer than `MAX_FRAME`."""

    def __init__(self, length: int) -> None:
        super().__init__(
            f"message of {length / 1e6:.1f} MB is too large, {MAX_FRAME / 1e6:.1f} MB is the most; "
            "pass large data in a file and send its path"
        )


def pack_frame(payload: bytes) -> bytes:
    """Put a payload's length before it.

    Raises:
        FrameError: The payload is too long.
    """
    if len(payload) > MAX_FRAME:
        raise FrameError(len(payload))
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream, in whatever chunks it comes, into the payloads that were packed."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take a chunk in and give the payloads that are complete.

        Raises:
            FrameError: A length is announced that no sender may send.
        """
        self._buffer += chunk
        while (payload := self._take()) is not None:
            yield payload

    def _take(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(buffer)
        if length > MAX_FRAME:
            raise FrameError(length)
        end = _LENGTH.size + length
        if len(buffer) < end:
            return None
        payload = bytes(memoryview(buffer)[_LENGTH.size : end])
        del buffer[:end]
        return payload
