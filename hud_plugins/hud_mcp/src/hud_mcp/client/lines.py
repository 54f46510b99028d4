"""A transport for the SDK's client: messages as lines to and from something that has a stdin, a stdout and a stderr.

The SDK has one for processes. This one keeps what a server writes beside messages for error messages and the log, takes
large messages in linear time, and leaves it to a `Peer` what the server is: a process, a container.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from attrs import frozen
from mcp import types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from hud_mcp.client.options import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    _Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]

KEPT_LINES = 20
"""Lines beside messages that error messages show."""
MAX_LINE = 2000
"""Characters of such a line that are kept."""
MAX_LOGGED = 2000
"""Such lines that go to the rollout's log."""


@frozen(kw_only=True)
class Pipes:
    """The ends of a server's three streams."""

    stdin: ByteSendStream
    stdout: ByteReceiveStream
    stderr: ByteReceiveStream


class Peer(ABC):
    """A server that is started for one connection. One object is one life of it."""

    @abstractmethod
    async def start(self) -> Pipes:
        """Start the server. What is left of it when this raises, or is cancelled, is gone again.

        Raises:
            HudError: It cannot be started; the rollout gets this error as it is.
            OSError: It cannot be started.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End the server: close its stdin, then less and less gently. Called shielded; keeps deadlines of its own."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the server is known to have ended."""

    @abstractmethod
    async def ended(self) -> None:
        """Wait until the server has ended."""

    @abstractmethod
    def fate(self) -> str:
        """Say how the server ended, as ``it exited with code 1``; empty while it lives."""

    def shown(self, line: str) -> str:
        """Give a line that the server wrote as it may be shown: without what is secret in it."""
        return line


class PeerTransport(ABC):
    """Starts a peer, and keeps what it writes. Subclasses speak with it. Enter and leave it in one task.

    Args:
        peer: The server.
        log: Takes each line that the server writes to stderr, and what it writes to stdout that is no message.
    """

    def __init__(self, peer: Peer, log: Callable[[str], None]) -> None:
        self._peer = peer
        self._log = log
        self._logged = 0
        self._written: deque[str] = deque(maxlen=KEPT_LINES)

    @abstractmethod
    async def __aenter__(self) -> _Streams:
        """Start the peer, and give what the SDK's client speaks with."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End the peer."""

    async def _start(self) -> Pipes:
        pipes = await self._peer.start()  # no checkpoint from here to the task group, or a cancellation would leave it
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._keep_lines, pipes.stderr)
        return pipes

    async def _end(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        with anyio.CancelScope(shield=True):
            await self._peer.stop()
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(kind, error, traceback)

    def fate(self) -> str:
        """Say how the server ended, and what it wrote last; empty while it lives and has written nothing."""
        parts = [self._peer.fate()]
        if self._written:
            parts.append("it wrote:\n  " + "\n  ".join(self._written))
        return "; ".join(filter(None, parts))

    async def _keep_lines(self, stream: ByteReceiveStream) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in Lines(stream, MAX_LINE):
                self._keep(line.decode(errors="replace").rstrip())

    def _keep(self, text: str) -> None:
        text = self._peer.shown(text)[:MAX_LINE]
        self._written.append(text)
        self._logged += 1
        if self._logged <= MAX_LOGGED:
            self._log(text)
        elif self._logged == MAX_LOGGED + 1:
            self._log(f"(more than {MAX_LOGGED} lines: the others are not kept)")


class LineTransport(PeerTransport):
    """Speaks with a peer over its stdin and stdout."""

    async def __aenter__(self) -> _Streams:
        pipes = await self._start()
        incoming, self._read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        self._group.start_soon(self._receive, pipes.stdout, incoming)
        self._group.start_soon(self._send, pipes.stdin, outgoing)
        return self._read, self._write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._read.close()
        self._write.close()
        return await self._end(kind, error, traceback)

    async def _receive(
        self, stdout: ByteReceiveStream, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        async with incoming:
            try:
                async for line in Lines(stdout, MAX_MESSAGE, is_strict=True):
                    message = self._message(line)
                    if message is not None:
                        await incoming.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the rollout, or the server, has ended
            except ValueError as error:
                self._keep(f"(stdout) {error}")
        await _drain(stdout)  # so that a server that still writes can come to its end

    def _message(self, line: bytes) -> SessionMessage | None:
        if not line.strip():
            return None
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValidationError:
            self._keep(f"(stdout, not a message) {line[:MAX_LINE].decode(errors='replace')}")
            return None

    async def _send(self, stdin: ByteSendStream, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with outgoing:
            async for item in outgoing:
                data = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                try:
                    await stdin.send(data)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                    self._read.close()  # so that whoever waits for an answer learns that none will come
                    return


class Lines:
    """Reads lines from a stream. No generator: one that is left behind half-read must be closed, and this must not.

    Args:
        stream: The stream.
        limit: Bytes of a line; a longer one is cut, or, with `is_strict`, a `ValueError`.
        is_strict: Whether a line must not be cut.
    """

    def __init__(self, stream: ByteReceiveStream, limit: int, *, is_strict: bool = False) -> None:
        self._stream = stream
        self._limit = limit
        self._is_strict = is_strict
        self._parts: list[bytes] = []
        self._size = 0
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            try:
                self._take(await self._stream.receive())
            except anyio.EndOfStream:
                if not self._size:
                    raise StopAsyncIteration from None
                self._take(b"\n")
        return self._ready.popleft()

    def _take(self, chunk: bytes) -> None:
        first, *rest = chunk.split(b"\n")
        self._add(first)
        for line in rest:
            self._ready.append(b"".join(self._parts))
            self._parts, self._size = [], 0
            self._add(line)

    def _add(self, part: bytes) -> None:
        if self._size + len(part) > self._limit and self._is_strict:
            msg = f"a message of more than {self._limit} bytes"
            raise ValueError(msg)
        if part and self._size < self._limit:
            self._parts.append(part)
            self._size += len(part)


async def _drain(stream: ByteReceiveStream) -> None:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        while True:
            await stream.receive()
