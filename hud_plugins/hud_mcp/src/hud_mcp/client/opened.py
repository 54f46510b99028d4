"""Sessions with servers, for as long as a rollout lasts: what a backend's `open` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio import CapacityLimiter

    from hud_mcp.client.opening import Opener
    from hud_mcp.client.session import MCPSession


def open_session(
    name: str, opener: Opener, *, capability: str | None = None, gate: CapacityLimiter | None = None
) -> AbstractAsyncContextManager[MCPSession]:
    """Connect to a server; entering does it, and leaving ends the episode and the connection. Both in one task.

    Args:
        name: The environment's name, as tasks know it.
        opener: Makes the transport: a `PeerOpener` of yours, or an `HttpOpener`.
        capability: The secret that shows the server that it is the harness who asks; the server has it from the
            variable `hud_mcp.wire.HARNESS_VARIABLE`.
        gate: Is passed while the connection is opened.

    Raises:
        BackendError: On entering: the server cannot be started or reached, or does not answer as an MCP server does.
        ConfigError: On entering: it never will.
    """
    return _Opened(name, opener, capability, gate)


class _Opened:
    """One open connection, with its session."""

    __slots__ = ("_capability", "_connection", "_gate", "_name", "_opener", "_session")

    def __init__(self, name: str, opener: Opener, capability: str | None, gate: CapacityLimiter | None) -> None:
        self._name = name
        self._gate = gate
        self._opener = opener
        self._capability = capability

    async def __aenter__(self) -> MCPSession:
        from hud_mcp.client.connection import Connection
        from hud_mcp.client.session import MCPSession

        self._connection = Connection(self._opener, self._gate)
        await self._connection.__aenter__()
        self._session = MCPSession(self._name, self._connection, self._capability)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._session.aclose()
        finally:
            await self._connection.__aexit__(kind, error, traceback)
