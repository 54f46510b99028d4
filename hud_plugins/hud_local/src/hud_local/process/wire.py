"""One end of a socket in a child: frames in and out on the child's event loop, never blocking it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hud_local.process.frames import FrameReader, pack_frame
from hud_local.process.messages import Request, Response, decode_request, encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_CHUNK = 1 << 16


class Wire:
    """Receives requests and sends responses.

    Args:
        fd: The socket's file descriptor, which does not block.
        loop: The event loop that watches it.
    """

    __slots__ = ("_fd", "_loop", "_on_end", "_on_request", "_outgoing", "_reader")

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop) -> None:
        self._fd = fd
        self._loop = loop
        self._reader = FrameReader()
        self._outgoing = bytearray()

    def listen(self, on_request: Callable[[Request], None], on_end: Callable[[], None]) -> None:
        """Call `on_request` for each request, and `on_end` once when the other side is gone."""
        self._on_request = on_request
        self._on_end = on_end
        self._loop.add_reader(self._fd, self._receive)

    def _receive(self) -> None:
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._fd)
            self._on_end()
            return
        for payload in self._reader.feed(chunk):
            self._on_request(decode_request(payload))

    def send(self, response: Response) -> None:
        """Send a response, now or as soon as the other side reads.

        Raises:
            FrameError: It is too large.
        """
        is_waiting = bool(self._outgoing)
        self._outgoing += pack_frame(encode(response))
        if not is_waiting:
            self._send_some()
            if self._outgoing:
                self._loop.add_writer(self._fd, self._on_writable)

    def _on_writable(self) -> None:
        self._send_some()
        if not self._outgoing:
            self._loop.remove_writer(self._fd)

    def _send_some(self) -> None:
        try:
            del self._outgoing[: os.write(self._fd, self._outgoing)]
        except BlockingIOError:
            return
        except ConnectionError:  # nobody is left to read; `_receive` hears of it too
            self._outgoing.clear()

    def finish(self) -> None:
        """Send what is left, blocking: nothing else runs any more."""
        if self._outgoing:
            os.set_blocking(self._fd, True)
        while self._outgoing:
            self._send_some()
