"""The job's end of a socket: requests and their responses, any number at once, on asyncio and trio."""

from __future__ import annotations

import contextlib
import itertools
import socket
from typing import TYPE_CHECKING

import anyio
import msgspec

from hud_local.process.frames import FrameError, FrameReader, pack_frame
from hud_local.process.messages import Request, Response, decode_response, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_CHUNK = 1 << 18


class ChannelClosed(Exception):  # noqa: N818  an event, not a mistake
    """The other side has gone, or this side was closed."""


class _Pending:
    """A response that somebody waits for."""

    __slots__ = ("event", "response")

    def __init__(self) -> None:
        self.response: Response | None = None
        self.event: anyio.Event | None = None

    def wake(self) -> None:
        if self.event is not None:
            self.event.set()


class Channel:
    """Sends requests and receives their responses.

    There is no task in the background: whoever waits for a response reads for all, and hands reading over when its own
    has come. A request that is cancelled leaves the stream whole, since frames are sent from a buffer.
    """

    __slots__ = ("_is_closed", "_is_reading", "_numbers", "_outgoing", "_pending", "_reader", "_sending", "_socket")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003  the name says it
        self._socket = connection
        self._numbers = itertools.count(1)
        self._reader = FrameReader()
        self._outgoing = bytearray()
        self._sending = anyio.Lock()
        self._pending: dict[int, _Pending] = {}
        self._is_reading = False
        self._is_closed = False

    async def request(self, method: str, payload: bytes | msgspec.Raw, *, cancellable: bool = False) -> Response:
        """Send a request and wait for its response.

        Args:
            method: What to do.
            payload: What to do it with, encoded.
            cancellable: Whether the other side is told when nobody waits for the response any more.

        Raises:
            ChannelClosed: The other side has gone.
            FrameError: The payload is too large.
        """
        number = next(self._numbers)
        try:
            await self.send(method, payload, number=number)
            return await self.receive(number)
        except anyio.get_cancelled_exc_class():
            if cancellable:
                self.post("cancel", number)
            raise
        finally:
            self._pending.pop(number, None)

    async def send(
        self, method: str, payload: bytes | msgspec.Raw, *, number: int | None = None, fds: Sequence[int] = ()
    ) -> int:
        """Send a request, with file descriptors, and give the number to `receive` its response by."""
        number = next(self._numbers) if number is None else number
        frame = pack_frame(encode(Request(number, method, msgspec.Raw(payload))))
        self._pending[number] = _Pending()
        if fds:
            await self._send_fds(frame, fds)
        else:
            self._outgoing += frame
            await self._flush()
        return number

    async def receive(self, number: int) -> Response:
        """Wait for the response to a request.

        Raises:
            ChannelClosed: The other side has gone.
        """
        pending = self._pending[number]
        try:
            while pending.response is None:
                if self._is_closed:
                    raise ChannelClosed
                if self._is_reading:
                    pending.event = anyio.Event()
                    await pending.event.wait()
                else:
                    await self._read()
        finally:
            self._hand_over()
        return pending.response

    def forget(self, number: int) -> None:
        """Give up a response; it is dropped if it comes."""
        self._pending.pop(number, None)

    def close(self) -> None:
        """Close this side; whoever waits for a response gets `ChannelClosed`."""
        self._end()
        anyio.notify_closing(self._socket)
        self._socket.close()

    # --- sending ------------------------------------------------------------------------------------------------------

    def post(self, method: str, number: int) -> None:
        """Send a request that has no response, without waiting: what does not fit goes out with the next one."""
        self._outgoing += pack_frame(encode(Request(number, method)))
        if not self._sending.locked():
            with contextlib.suppress(ChannelClosed):
                self._send_now()

    async def _flush(self) -> None:
        if not self._sending.locked() and self._send_now():
            return
        async with self._sending:
            while not self._send_now():
                await self._wait(anyio.wait_writable)

    def _send_now(self) -> bool:
        """Send as much as goes, and say whether that was all."""
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            return False
        except OSError as error:
            self._end()
            raise ChannelClosed from error
        return True

    async def _send_fds(self, frame: bytes, fds: Sequence[int]) -> None:
        """Send a frame with file descriptors on its first byte."""
        await self._flush()
        async with self._sending:
            while (sent := self._send_fds_now(frame, fds)) is None:
                await self._wait(anyio.wait_writable)
            self._outgoing[:0] = frame[sent:]
        await self._flush()

    def _send_fds_now(self, frame: bytes, fds: Sequence[int]) -> int | None:
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
            return socket.send_fds(self._socket, [frame], fds)
        except BlockingIOError:
            return None
        except ConnectionError as error:
            self._end()
            raise ChannelClosed from error

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read what there is, waiting for it if there is nothing, and hand responses to those who wait for them."""
        self._is_reading = True
        try:
            chunk = self._receive_now()
            if chunk is None:
                await self._wait(anyio.wait_readable)
                chunk = self._receive_now()
        finally:
            self._is_reading = False
        if chunk == b"":
            self._end()
        try:
            responses = [decode_response(payload) for payload in self._reader.feed(chunk or b"")]
        except (FrameError, msgspec.DecodeError):  # the environment wrote to a file descriptor that is not its own
            self._end()
            return
        for response in responses:
            if pending := self._pending.get(response.number):
                pending.response = response
                pending.wake()

    def _receive_now(self) -> bytes | None:
        try:
            return self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # reset by a process that died, or closed here
            return b""

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        try:
            await ready(self._socket)
        except (anyio.ClosedResourceError, ValueError, OSError):  # closed here; the next system call says so too
            self._end()

    def _hand_over(self) -> None:
        """Let somebody else who waits read, if nobody does."""
        if not self._is_reading:
            for pending in self._pending.values():
                if pending.response is None and pending.event is not None and not pending.event.is_set():
                    pending.wake()
                    return

    def _end(self) -> None:
        self._is_closed = True
        for pending in self._pending.values():
            pending.wake()
