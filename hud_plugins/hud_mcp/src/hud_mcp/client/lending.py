"""HTTP clients for the connections to MCP servers: each serves one connection, and then another one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx2

from hud_mcp.addresses import is_loopback
from hud_mcp.client.http import KEEP_SECONDS, bound, limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from anyio.abc import TaskGroup

    from hud_mcp.client.options import Target

    _Kind = tuple[str, float, frozenset[tuple[str, str]]]
    _Look = Callable[[httpx2.Response], Awaitable[None]]


class HttpClients:
    """Lends HTTP clients with the TCP connections that they keep open: to open one takes as long as a request.

    Nobody shares a client at the same time: its pool slows down with each connection that is in use.

    Args:
        context: The TLS settings of all clients: making them takes longer than connecting.
        tasks: Where a task closes the clients that nobody takes, until `aclose`. Without it none is kept.
    """

    def __init__(self, context: ssl.SSLContext, tasks: TaskGroup | None = None) -> None:
        self._context = context
        self._tasks = tasks
        self._spare: dict[_Kind, list[tuple[float, httpx2.AsyncClient]]] = {}
        self._tidying: anyio.CancelScope | None = None

    @asynccontextmanager
    async def lend(self, target: Target, headers: Mapping[str, str], look: _Look) -> AsyncIterator[httpx2.AsyncClient]:
        """Have a client for the requests to one server.

        Args:
            target: The server.
            headers: What each request carries.
            look: Is shown each response.
        """
        kind = (target.value, target.connect_timeout, frozenset(headers.items()))
        spare = self._spare.get(kind)
        client = spare.pop()[1] if spare else self._make(target, headers)
        client.event_hooks = {"response": [bound, look]}
        is_whole = False
        try:
            yield client
            is_whole = True
        finally:
            if not (is_whole and self._keep(kind, client)):
                with anyio.CancelScope(shield=True):
                    await client.aclose()

    def _make(self, target: Target, headers: Mapping[str, str]) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=dict(headers),
            verify=self._context,
            # Where the environment names a proxy: nobody reaches this machine's own servers through one.
            trust_env=not is_loopback(urlsplit(target.value).hostname or ""),
            # Reading has no limit here: a response may take as long as its request, which has one.
            timeout=httpx2.Timeout(target.connect_timeout, read=None),
            limits=limits(),
        )

    def _keep(self, kind: _Kind, client: httpx2.AsyncClient) -> bool:
        """Keep a client for the next one; say whether that is possible."""
        if self._tasks is None:
            return False
        client.event_hooks = {}
        client.cookies.clear()  # they are the session's
        self._spare.setdefault(kind, []).append((anyio.current_time(), client))
        if self._tidying is None:
            self._tidying = anyio.CancelScope()
            self._tasks.start_soon(self._tidy, self._tidying)
        return True

    async def _tidy(self, scope: anyio.CancelScope) -> None:
        """Close, until none is left, the clients whose connections have been idle for too long to be used again."""
        with scope:
            while self._spare:
                await anyio.sleep(KEEP_SECONDS)
                await self._close_until(anyio.current_time() - KEEP_SECONDS)
        self._tidying = None

    async def _close_until(self, time: float) -> None:
        for kind, spare in list(self._spare.items()):
            while spare and spare[0][0] <= time:
                await spare.pop(0)[1].aclose()
            if not spare:
                self._spare.pop(kind, None)  # `aclose` may have been here meanwhile

    async def aclose(self) -> None:
        """Close those that are kept, and keep none from now on."""
        self._tasks = None
        if self._tidying is not None:
            self._tidying.cancel()
        await self._close_until(float("inf"))
