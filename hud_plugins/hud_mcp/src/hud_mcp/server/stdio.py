"""The process's stdin and stdout as an MCP transport that can be stopped, and that no print gets into."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, Self, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

_CHUNK = 1 << 16


@asynccontextmanager
async def stdio(limit: int) -> AsyncIterator[tuple[Any, Any]]:
    """Give the SDK's streams to and from the one client at stdin and stdout.

    A line that is no message, or has more bytes than the limit, is answered with an error. Meanwhile code of the
    environment, and processes that it starts, read an empty stdin, and print to stderr.
    """
    from mcp.server.stdio import stdio_server

    with _stdin(limit) as lines:
        # The SDK keeps file descriptor 1 to itself. Python's own buffer of it would be written when it is given back.
        async with stdio_server(stdin=cast("anyio.AsyncFile[str]", _filled(lines))) as (read, write):
            with redirect_stdout(sys.stderr):
                yield _Messages(read, write, limit), write


async def _filled(lines: Lines) -> AsyncGenerator[str]:
    """Leave out lines that are empty: nobody asks anything in them."""
    async for line in lines:
        if line.strip():
            yield line


class _Messages:
    """The stream of a client's messages, as the SDK reads it. What is no message is answered, and left out."""

    def __init__(self, stream: Any, answers: Any, limit: int) -> None:  # noqa: ANN401  streams of the SDK's
        self._stream = stream
        self._answers = answers
        self._limit = limit

    @property
    def last_context(self) -> Any:  # noqa: ANN401  the SDK's
        return self._stream.last_context

    async def receive(self) -> Any:  # noqa: ANN401  a message of the SDK's
        while isinstance(message := await self._stream.receive(), Exception):
            await self._answers.send(_refusal(self._limit))
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401  as above
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _refusal(limit: int) -> Any:  # noqa: ANN401  a message of the SDK's
    from mcp.shared.message import SessionMessage
    from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError

    text = f"a line is no JSON-RPC message, or has more than {limit} bytes"
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=PARSE_ERROR, message=text)))


@contextmanager
def _stdin(limit: int) -> Iterator[Lines]:
    kept = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield Lines(kept, limit)
    finally:
        os.dup2(kept, 0)
        os.close(kept)


class Lines:
    """The lines of a file descriptor. The SDK waits for them in a thread, which no cancellation reaches.

    Args:
        descriptor: The file.
        limit: How many bytes a line may have; one that has more is given as three dots.
    """

    def __init__(self, descriptor: int, limit: int | None = None) -> None:
        self._descriptor = descriptor
        self._limit = limit
        mode = os.fstat(descriptor).st_mode
        self._can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)

    async def __aiter__(self) -> AsyncGenerator[str]:
        line = _Line(self._limit)
        while chunk := await self._read():
            first, *others = chunk.split(b"\n")
            line.add(first)
            for other in others:
                yield line.text()
                line = _Line(self._limit)
                line.add(other)
        if line.size:
            yield line.text()

    async def _read(self) -> bytes:
        if self._can_wait:
            await anyio.wait_readable(self._descriptor)
        return os.read(self._descriptor, _CHUNK)


class _Line:
    """A line that arrives in parts. Nothing is kept beyond the limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self._limit is None or self.size <= self._limit:
            self._parts.append(part)
        else:
            self._parts = [b"..."]

    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "replace")
