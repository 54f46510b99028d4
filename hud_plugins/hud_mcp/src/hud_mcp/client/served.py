"""Servers that are started for one connection, and spoken to over HTTP."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from hud_mcp.client.lines import Peer, PeerTransport
from hud_mcp.client.opening import HttpOpener, Opener, PeerLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from hud_mcp.client.opening import Log


class ServingPeer(Peer):
    """A server that is started for one connection, and then serves MCP over HTTP."""

    @abstractmethod
    async def address(self) -> str:
        """Wait until it serves, and give the address; what it writes is read meanwhile.

        Raises:
            HudError: It never will.
            ConnectionError: It has ended.
        """


class ServedTransport(PeerTransport):
    """Starts a peer, and connects to the address that it serves at.

    Args:
        peer: The server.
        log: Takes each line that the server writes.
        connect: Makes the transport to an address.
    """

    def __init__(self, peer: ServingPeer, log: Callable[[str], None], connect: Callable[[str], Any]) -> None:
        super().__init__(peer, log)
        self._serving = peer
        self._connect = connect

    async def __aenter__(self) -> Any:  # noqa: ANN401  the SDK's pair of streams
        pipes = await self._start()
        self._group.start_soon(self._keep_lines, pipes.stdout)
        try:
            self._transport = self._connect(await self._serving.address())
            return await self._transport.__aenter__()
        except BaseException as broken:
            await self._end_broken(broken)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            await self._transport.__aexit__(kind, error, traceback)
        except BaseException as broken:
            await self._end_broken(broken)
            raise
        return await self._end(kind, error, traceback)

    async def _end_broken(self, error: BaseException) -> None:
        """End the server because of an error, which the task group would wrap."""
        if isinstance(error, Exception):
            await self._end(None, None, None)
        else:
            await self._end(type(error), error, error.__traceback__)


class ServedOpener(Opener):
    """Starts a server, and speaks with it over HTTP.

    Args:
        name: What the log calls the server.
        shown: What error messages call it.
        peer: Makes the server; called for each connection, and nothing is started by that.
        headers: Sent with every request.
        connect_timeout: Seconds until it must have answered the handshake, its start included.
        timeout: Seconds that one request may take.
        log: As for `Opener`.
    """

    def __init__(
        self,
        name: str,
        shown: str,
        peer: Callable[[], ServingPeer],
        *,
        headers: Mapping[str, str],
        connect_timeout: float,
        timeout: float,
        log: Log | None = None,
    ) -> None:
        super().__init__(name, shown, connect_timeout=connect_timeout, timeout=timeout, log=log)
        self._peer = peer
        self._headers = headers

    def open(self) -> PeerLink:
        """Make the transport; entering it starts the server."""
        peer = self._peer()
        link = PeerLink(peer, ServedTransport(peer, self.log, self._connect))
        link.breaks_with_error = True
        return link

    def _connect(self, url: str) -> Any:  # noqa: ANN401  the SDK's transport
        way = HttpOpener.at(
            self.name, url, headers=self._headers, connect_timeout=self.connect_timeout, timeout=self.timeout
        )
        return way.open().server
