"""What our HTTP clients have in common: as many connections as there are calls, and no response without an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from hud_mcp.client.options import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEEP_SECONDS = 3.0
"""How long an unused connection is kept: less than servers do, often 5 s, so that no call meets one that is closing."""


def limits() -> httpx2.Limits:
    """Let no call wait for another one's connection."""
    return httpx2.Limits(keepalive_expiry=KEEP_SECONDS)


async def bound(response: httpx2.Response) -> None:
    """Break a response that is larger than a message may be; a hook. The SDK bounds a stream's events by itself."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to the bound. No generator: see `lines.Lines`."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401  of the two kinds of streams that responses have, one
        self._stream = stream
        self._left = MAX_MESSAGE

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        chunk: bytes = await anext(self._chunks)
        self._left -= len(chunk)
        if self._left < 0:
            msg = f"a message of more than {MAX_MESSAGE} bytes"
            raise httpx2.ReadError(msg)
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
