"""How each kind of server is reached, and what to say when it is not."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from hud_core.errors import BackendError, ConfigError, HudError, describe
from hud_core.model.task import EnvRef
from hud_core.templates import hidden
from hud_core.trace import log_line
from hud_mcp.client.lending import HttpClients
from hud_mcp.client.options import MAX_MESSAGE, expand, read_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    import httpx2
    from mcp.client._transport import Transport, TransportStreams
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer

    from hud_mcp.client.lines import Peer, PeerTransport
    from hud_mcp.client.options import Target

    Log = Callable[..., None]

MAX_BODY = 2000
"""Characters of a refusal's body that messages show."""
_REFUSED = (401, 403)


class Link:
    """What one life of a connection goes over."""

    breaks_with_error = False
    """Whether the SDK's client ends, with the reason, when the connection breaks."""

    def __init__(self, server: Server[Any] | MCPServer | Transport) -> None:
        self.server = server

    def is_gone(self) -> bool:
        """Whether the server is known to be gone."""
        return False

    async def settle(self) -> None:
        """Wait until the reason of a loss is known; the caller has a deadline."""

    def account(self) -> str:
        """Say what the server did last."""
        return ""


class Opener(ABC):
    """Opens connections to one server.

    Args:
        name: What the log calls the server.
        shown: What error messages call it.
        connect_timeout: Seconds until it must have answered the handshake, its start included.
        timeout: Seconds that one request may take.
        log: Takes lines of log of the server, with details by name, in tasks of the connection and not in those that
            make requests; by default they go to the rollout's log.
    """

    can_reopen = False
    """Whether a new connection reaches the same server."""
    patience = "connect_timeout"
    """The option that says how long the handshake may take, for messages."""
    client_options: Mapping[str, Any] = MappingProxyType({})
    """More arguments of the SDK's client."""

    def __init__(
        self, name: str, shown: str, *, connect_timeout: float, timeout: float, log: Log | None = None
    ) -> None:
        self.name = name
        self.log: Log = log or partial(log_line, source=name)
        self.connect_timeout = connect_timeout
        self.timeout = timeout
        self._shown = shown

    def __str__(self) -> str:
        return self._shown

    @abstractmethod
    def open(self) -> Link:
        """Make what a connection goes over; nothing is sent yet."""

    def failure(self, link: Link, error: Exception | None) -> HudError:
        """Say which server failed, what was tried and what it answered."""
        known = _single(error)
        if isinstance(known, HudError):
            return known
        account = link.account()
        return BackendError(f"{self}: {self._reason(known)}{f'; {account}' if account else ''}")

    def _reason(self, error: Exception | None) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer to the handshake within {self.connect_timeout:g} s ({self.patience})"
        if error is None or str(error) == "Connection closed":  # what the SDK says
            return "it ended the connection"
        return f"it answered {str(error)!r}" if type(error).__name__ == "MCPError" else describe(error)


def _single(error: Exception | None) -> Exception | None:
    while isinstance(error, ExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


# --- HTTP -------------------------------------------------------------------------------------------------------------


class HttpLink(Link):
    """A connection over streamable HTTP; remembers the last refusal, which the SDK does not tell."""

    breaks_with_error = True

    def __init__(
        self, target: Target, headers: dict[str, str], clients: HttpClients, secrets: Sequence[str] = ()
    ) -> None:
        self.status = 0
        self._secrets = secrets
        self._refusal = ""
        super().__init__(self._transport(target, headers, clients))

    @asynccontextmanager
    async def _transport(
        self, target: Target, headers: dict[str, str], clients: HttpClients
    ) -> AsyncIterator[TransportStreams]:
        from mcp.client.streamable_http import streamable_http_client

        async with (
            clients.lend(target, headers, self._look) as client,
            streamable_http_client(target.value, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
        ):
            yield streams

    async def _look(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        if response.is_success:
            self._refusal = ""
            return
        self._refusal = f"it answered {response.status_code} {response.reason_phrase}".rstrip()
        if int(response.headers.get("content-length") or 0) in range(1, MAX_BODY * 10):
            await response.aread()
            self._refusal += f": {hidden(response.text, self._secrets)[:MAX_BODY]}"

    def account(self) -> str:
        """Say what the server answered last, if it was a refusal."""
        return self._refusal


class HttpOpener(Opener):
    """Reaches a server by its URL."""

    can_reopen = True

    def __init__(
        self, target: Target, headers: dict[str, str], clients: HttpClients, secrets: Sequence[str] = ()
    ) -> None:
        super().__init__(target.name, str(target), connect_timeout=target.connect_timeout, timeout=target.timeout)
        self._target = target
        if not target.value.startswith(("http://", "https://")):
            msg = f"connection {target.name!r}: url must begin with http:// or https://, got {target.shown!r}"
            raise ConfigError(msg)
        self._headers = headers
        self._clients = clients
        self._secrets = secrets

    @classmethod
    def at(
        cls,
        name: str,
        url: str,
        *,
        connect_timeout: float,
        timeout: float,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Reach a server of this machine, without TLS.

        Args:
            name: What the log calls the server.
            url: Where it is, as ``http://127.0.0.1:49153/mcp``.
            connect_timeout: Seconds until it must have answered the handshake.
            timeout: Seconds that one request may take.
            headers: Sent with every request.
        """
        options = {"url": url, "connect_timeout": connect_timeout, "timeout": timeout}
        clients = HttpClients(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return cls(read_target(EnvRef(name, "mcp", options)), dict(headers), clients)

    def open(self) -> HttpLink:
        """Make the transport; entering it takes an HTTP client."""
        return HttpLink(self._target, self._headers, self._clients, self._secrets)

    def failure(self, link: Link, error: Exception | None) -> HudError:
        """Say what failed; refused credentials are not worth another attempt."""
        failure = super().failure(link, error)
        status = link.status if isinstance(link, HttpLink) else 0
        if status in _REFUSED:
            return ConfigError(f"{failure}; give the connection headers or a token that it accepts")
        if status == 404:  # noqa: PLR2004  not found
            return BackendError(f"{failure}; MCP servers are usually at a path such as /mcp")
        return failure

    def _reason(self, error: Exception | None) -> str:
        reason = super()._reason(error)
        return f"tried streamable HTTP; {reason}"


# --- lines ------------------------------------------------------------------------------------------------------------


class PeerLink(Link):
    """A connection to a server that was started for it."""

    def __init__(self, peer: Peer, transport: PeerTransport) -> None:
        super().__init__(transport)
        self._peer = peer
        self._transport = transport

    def is_gone(self) -> bool:
        """Whether the server has ended."""
        return self._peer.has_ended

    async def settle(self) -> None:
        """Wait until the server has ended."""
        await self._peer.ended()

    def account(self) -> str:
        """Say how the server ended, and what it wrote last."""
        return self._transport.fate()


class PeerOpener(Opener):
    """Starts a server, and speaks with it over its stdin and stdout.

    Args:
        name: What the log calls the server.
        shown: What error messages call it.
        peer: Makes the server; called for each connection, and nothing is started by that.
        connect_timeout: Seconds until it must have answered the handshake, its start included.
        timeout: Seconds that one request may take.
        log: As for `Opener`.
    """

    def __init__(
        self,
        name: str,
        shown: str,
        peer: Callable[[], Peer],
        *,
        connect_timeout: float,
        timeout: float,
        log: Log | None = None,
    ) -> None:
        super().__init__(name, shown, connect_timeout=connect_timeout, timeout=timeout, log=log)
        self._peer = peer

    def open(self) -> PeerLink:
        """Make the transport; entering it starts the server."""
        from hud_mcp.client.lines import LineTransport

        peer = self._peer()
        return PeerLink(peer, LineTransport(peer, self.log))


class StdioOpener(PeerOpener):
    """Starts a server in a process of its own."""

    def __init__(self, target: Target, env: dict[str, str], secrets: Sequence[str]) -> None:
        super().__init__(
            target.name,
            str(target),
            self._process,
            connect_timeout=target.connect_timeout,
            timeout=target.timeout,
        )
        args = target.options.get("args") or []
        if not isinstance(args, list | tuple):
            msg = f"connection {target.name!r}: args must be a list, got {args!r}"
            raise ConfigError(msg)
        self._program = target.shown
        self._shown = " ".join([target.shown, *map(str, args)])
        self._command = [target.value, *(expand(str(arg), f"args[{place}]") for place, arg in enumerate(args))]
        self._cwd = target.options.get("cwd")
        self._env = env
        self._secrets = secrets

    def _process(self) -> Peer:
        from hud_mcp.client.process import ProcessPeer

        env, self._env = self._env, {}  # the harness's capability is in it, and nobody needs it again
        cwd = self._cwd and expand(str(self._cwd), "cwd")
        return ProcessPeer(self._command, env=env, cwd=cwd, secrets=self._secrets)

    def failure(self, link: Link, error: Exception | None) -> HudError:
        """Say what failed; a command that is not there will not be there the next time."""
        if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
            shown = self._program
            missing = shown if error.filename == self._command[0] else error.filename  # the folder, where it is that
            return ConfigError(f"{self}: cannot start {shown!r}: {error.strerror}: {missing}")
        return super().failure(link, error)

    def _reason(self, error: Exception | None) -> str:
        return f"tried {self._shown!r} over stdio; {super()._reason(error)}"


# --- in this process --------------------------------------------------------------------------------------------------


class ObjectOpener(Opener):
    """Connects to a server object of this process."""

    def __init__(self, target: Target, server: Server[Any] | MCPServer) -> None:
        super().__init__(target.name, str(target), connect_timeout=target.connect_timeout, timeout=target.timeout)
        self._server = server

    def open(self) -> Link:
        """Hand the object to the SDK's client."""
        return Link(self._server)
