"""One end of a socket in a child: frames in and out on the child's event loop, never blocking it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hud_local.process.frames import FrameReader, pack_frame
from hud_local.process.messages import Request, Response, decode_request, encode

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

_CHUNK = 1 << 16


class Wire:
    """Receives requests and sends responses.

    Args:
        connection: The socket.
        loop: The event loop that watches it.
    """

    __slots__ = ("_loop", "_on_end", "_on_request", "_outgoing", "_reader", "_socket")

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        connection.setblocking(False)  # noqa: FBT003  the name says it
        self._socket = connection
        self._loop = loop
        self._reader = FrameReader()
        self._outgoing = bytearray()

    def listen(self, on_request: Callable[[Request], None], on_end: Callable[[], None]) -> None:
        """Call `on_request` for each request, and `on_end` once when the other side is gone."""
        self._on_request = on_request
        self._on_end = on_end
        self._loop.add_reader(self._socket, self._receive)

    def _receive(self) -> None:
        try:
            chunk = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._socket)
            self._on_end()
            return
        for payload in self._reader.feed(chunk):
            self._on_request(decode_request(payload))

    def send(self, response: Response) -> None:
        """Send a response, now or as soon as the other side reads.

        Raises:
            FrameError: It is too large.
        """
        frame = pack_frame(encode(response))
        self._outgoing += frame
        if len(self._outgoing) == len(frame):
            self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._outgoing[: self._send_some()]
        if self._outgoing:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _send_some(self) -> int:
        try:
            return self._socket.send(self._outgoing)
        except ConnectionError:  # nobody is left to read; `_receive` hears of it too
            return len(self._outgoing)

    def finish(self) -> None:
        """Send what is left, blocking: nothing else runs any more."""
        self._loop.remove_reader(self._socket)
        self._socket.setblocking(True)  # noqa: FBT003  the name says it
        with contextlib.suppress(ConnectionError):  # nobody is left to read
            self._socket.sendall(self._outgoing)
