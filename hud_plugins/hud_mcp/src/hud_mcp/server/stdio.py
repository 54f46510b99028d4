"""The process's stdin and stdout as an MCP transport that can be stopped, and that no print gets into."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, cast

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

_CHUNK = 1 << 16


@asynccontextmanager
async def stdio() -> AsyncIterator[tuple[Any, Any]]:
    """Give the SDK's streams to and from the one client at stdin and stdout.

    Meanwhile code of the environment, and processes that it starts, read an empty stdin, and print to stderr.
    """
    from mcp.server.stdio import stdio_server

    with _stdin() as lines:
        # The SDK keeps file descriptor 1 to itself. Python's own buffer of it would be written when it is given back.
        async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as streams:
            with redirect_stdout(sys.stderr):
                yield streams


@contextmanager
def _stdin() -> Iterator[Lines]:
    kept = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield Lines(kept)
    finally:
        os.dup2(kept, 0)
        os.close(kept)


class Lines:
    """The lines of a file descriptor. The SDK waits for them in a thread, which no cancellation reaches."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        mode = os.fstat(descriptor).st_mode
        self._can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)

    async def __aiter__(self) -> AsyncGenerator[str]:
        parts: list[bytes] = []
        while chunk := await self._read():
            first, *lines = chunk.split(b"\n")
            parts.append(first)
            for line in lines:
                yield b"".join(parts).decode("utf-8", "replace")
                parts = [line]
        if any(parts):
            yield b"".join(parts).decode("utf-8", "replace")

    async def _read(self) -> bytes:
        if self._can_wait:
            await anyio.wait_readable(self._descriptor)
        return os.read(self._descriptor, _CHUNK)
