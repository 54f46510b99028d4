"""Requests to one origin, over connections that are kept open between them.

There may be any number of connections at once: whoever limits how many agents run limits them. To take one and to put
one aside costs the same for one and for a thousand.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from hud_core.errors import ProviderError
from hud_http.connection import Connection, connect, trust
from hud_http.reply import BadReplyError, ReplyReader, TooLongError
from hud_http.route import proxy_for

if TYPE_CHECKING:
    from hud_http.reply import Reply
    from hud_http.route import Origin, Proxy

CONNECTING = 15.0
"""Seconds to connect, with TLS and a proxy, at the most: enough for a thousand agents that begin at once."""
IDLE = 60.0
"""Seconds that a connection is kept without use."""
OK = range(200, 300)


class DroppedError(Exception):
    """The other side closed the connection before anything of the reply came."""


class Pool:
    """The connections to one origin, in one event loop.

    Args:
        origin: Where requests go.
        where: How messages call it.
        timeout: Seconds for each request, from its first byte to the reply's last.
        renews: Whether every piece of a reply gives it as long again, so that only silence ends it.

    Raises:
        ConfigError: The environment names a proxy of a kind that is not spoken here.
    """

    def __init__(self, origin: Origin, *, where: str, timeout: float, renews: bool = False) -> None:
        self._origin = origin
        self._proxy = proxy_for(origin)
        self._where = where
        self._timeout = timeout
        self._renews = renews
        self._idle: deque[Connection] = deque()
        self._trust: ssl.SSLContext | None = None
        self._is_closed = False

    async def send(self, method: str, target: str, headers: bytes, body: bytes | None = None) -> Reply:
        """Send a request, and wait for the reply. A redirect is a reply like any other.

        Where a connection that was kept turns out to be closed, the request is sent again over a new one.

        Args:
            method: Such as ``POST``.
            target: The path, with its query.
            headers: Lines of headers, ``Host`` among them, each with its end.
            body: The body, if there is one.

        Raises:
            ProviderError: There is no reply, or not a whole one.
        """
        message = self._message(method, target, headers, body)
        with anyio.move_on_after(self._timeout) as limit:
            await checkpoint_if_cancelled()
            try:
                return await self._send(message, limit)
            except DroppedError as error:
                raise ProviderError(f"{self._where} closed the connection instead of an answer") from error
            except BadReplyError as error:
                problem = f"{self._where} gave an answer that cannot be read: {error}"
                raise ProviderError(problem, retry=not isinstance(error, TooLongError)) from error
        raise ProviderError(f"{self._where} did not answer in time; setting 'timeout' says how many seconds it has")

    async def close(self) -> None:
        """Close the connections; those that are in use when they are not used any more."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def is_closed(self) -> bool:
        """Whether that was done."""
        return self._is_closed

    # --- requests -----------------------------------------------------------------------------------------------------

    def _message(self, method: str, target: str, headers: bytes, body: bytes | None) -> bytes:
        """Make the bytes of a request; a proxy that is to read it is told the whole URL."""
        origin, proxy, more = self._origin, self._proxy, ""
        if proxy is not None and origin.scheme == "http":
            target = f"http://{origin.authority}{target}"
            more = proxy.header
        if body is not None:
            more += f"content-length: {len(body)}\r\n"
        line = f"{method} {target} HTTP/1.1\r\n".encode("latin-1")
        return b"%b%b%b\r\n%b" % (line, headers, more.encode("latin-1"), body or b"")

    async def _send(self, message: bytes, limit: anyio.CancelScope) -> Reply:
        connection = self._take()
        if connection is not None:
            try:
                return await self._exchange(connection, message, limit)
            except DroppedError:
                pass  # as it was kept it may have been closed at any moment: the request never got there
        return await self._exchange(await self._connect(), message, limit)

    async def _exchange(self, connection: Connection, message: bytes, limit: anyio.CancelScope) -> Reply:
        reader, is_sent = ReplyReader(), False
        try:
            try:
                await connection.send(message)
                is_sent = True
            except OSError:
                pass  # who refuses a request may answer, and close, before it was sent to the end
            while not reader.is_done:
                reader.feed_or_end(await connection.receive())
                if self._renews:
                    limit.deadline = anyio.current_time() + self._timeout
            return reader.reply()
        except OSError as error:
            if not reader.has_begun:
                raise DroppedError from error
            raise BadReplyError(f"the connection broke in the middle of it: {error}") from error
        finally:  # also when it is cancelled: the reply that comes later is nobody's
            reader.close()
            self._put(connection, is_reusable=is_sent and reader.is_reusable)

    # --- connections --------------------------------------------------------------------------------------------------

    def _take(self) -> Connection | None:
        """Take the connection that was used last, if one is still open."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_stale:
                return connection
            connection.close()
        return None

    def _put(self, connection: Connection, *, is_reusable: bool) -> None:
        now = time.monotonic()
        while self._idle and self._idle[0].idle_since < now - IDLE:
            self._idle.popleft().close()
        if not is_reusable or self._is_closed:
            return connection.close()
        connection.idle_since = now
        return self._idle.append(connection)

    async def _connect(self) -> Connection:
        try:
            with anyio.move_on_after(CONNECTING):
                return await self._open()
        except ssl.SSLCertVerificationError as error:
            hint = "SSL_CERT_FILE may name a file of certificates to trust"
            raise ProviderError(f"cannot reach {self._way}: {error.verify_message}; {hint}", retry=False) from error
        except OSError as error:
            raise ProviderError(f"cannot reach {self._way}: {_reason(error)}") from error
        raise ProviderError(f"cannot reach {self._way}: no connection within {CONNECTING:g} seconds")

    @property
    def _way(self) -> str:
        return f"{self._where} through the proxy {self._proxy.name}" if self._proxy else self._where

    async def _open(self) -> Connection:
        origin, proxy = self._origin, self._proxy
        connection = await connect(*(proxy or origin).address)
        try:
            if origin.scheme == "https":
                if proxy is not None:
                    await self._tunnel(connection, proxy)
                self._trust = self._trust or trust()
                await connection.encrypt(self._trust, origin.host)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        """Have a proxy pass on what follows, unread."""
        to, reader = self._origin.netloc, ReplyReader()
        await connection.send(f"CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{proxy.header}\r\n".encode("latin-1"))
        try:
            while not reader.status:
                reader.feed_or_end(await connection.receive())
        finally:
            reader.close()
        if reader.status not in OK:
            is_passing = reader.status >= 500  # noqa: PLR2004
            raise ProviderError(f"the proxy {proxy.name} answered {reader.status}, asked for {to}", retry=is_passing)


def _reason(error: OSError) -> BaseException:
    """Give what is behind an error; of several addresses that were tried in vain, what was wrong with the last."""
    reason: BaseException = error
    while reason.__cause__ is not None:
        reason = reason.__cause__
    return reason.exceptions[-1] if isinstance(reason, BaseExceptionGroup) else reason
