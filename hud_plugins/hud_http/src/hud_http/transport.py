"""The pools as a transport of httpx2, whose clients the vendors' SDKs take. Importing this imports httpx2."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import httpx2

from hud_core.errors import ConfigError
from hud_http.pool import Pool
from hud_http.route import PORTS, Origin

if TYPE_CHECKING:
    from hud_http.reply import Reply

FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding", b"accept-encoding"))
"""Headers that say how a body travels: written here and in the pool, which undoes what a reply says by them."""

UNUSUAL = ("cookies", "data", "extensions", "files", "json", "params")
"""What a request may be built of beside a body and headers."""

MOVED = (307, 308)
"""Redirects that may be followed: others make a GET of what was to be posted."""


class Transport(httpx2.AsyncBaseTransport):
    """Sends requests in one event loop, over a pool for each origin; a response is whole when it is given.

    What fails is raised as what the pool makes of it, not as an error of httpx2.

    Args:
        timeout: As of `Pool`.
        renews: As of `Pool`.
    """

    def __init__(self, *, timeout: float, renews: bool = False) -> None:
        self._make = partial(Pool, timeout=timeout, renews=renews)
        self._pools: dict[Origin, Pool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and wait for the response.

        Raises:
            ProviderError: There is none, or not a whole one.
            ConfigError: A header cannot be sent, or the environment names a proxy of a kind that is not spoken here.
        """
        url, body = request.url, await request.aread()
        if url.scheme not in PORTS:  # a redirect may lead anywhere
            raise httpx2.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https", request=request)
        origin = Origin(url.scheme, url.raw_host.decode("ascii"), url.port or PORTS[url.scheme])
        if (pool := self._pools.get(origin)) is None:
            pool = self._pools[origin] = self._make(origin, where=f"{origin.scheme}://{origin.authority}")
        target, sent = url.raw_path.decode("ascii"), None if request.method == "GET" and not body else body
        return Response(await pool.send(request.method, target, _head(request), sent))

    async def aclose(self) -> None:
        """Close the connections; those that are in use when they are not used any more."""
        for pool in self._pools.values():
            await pool.close()


def _head(request: httpx2.Request) -> bytes:
    lines = [b"%b: %b" % line for line in request.headers.raw if line[0].lower() not in FRAMING]
    if "host" not in request.headers:
        lines.append(b"host: " + request.url.netloc)
    lines += [b"accept-encoding: identity", b""]  # answers are short: to compress them costs more than it saves
    head = b"\r\n".join(lines)
    if len(head.splitlines()) >= len(lines):
        bad = next(name for name, value in request.headers.raw if {*name, *value} & {*b"\r\n"})
        raise ConfigError(f"header {bad.decode('latin-1')!r} must be one line of text")
    return head


class Response(httpx2.Response):
    """A response that is whole. httpx2 goes through several generators to read what might not be."""

    def __init__(self, reply: Reply) -> None:
        raw = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items())
        headers = [line for line in raw if line[0] not in FRAMING]
        super().__init__(reply.status, headers=headers, stream=httpx2.ByteStream(reply.body))
        self._whole = reply.body

    @property
    def content(self) -> bytes:
        """The body."""
        return self._whole

    @property
    def text(self) -> str:
        """The body as UTF-8, which JSON and event streams always are."""
        return self._whole.decode("utf-8", "replace")

    async def aread(self) -> bytes:
        """Give the body."""
        return self._whole


class Client(httpx2.AsyncClient):
    """A client of httpx2 for an SDK, which has written every header itself: nothing is merged into its requests.

    Args:
        transport: What they travel over.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport=transport, follow_redirects=True)
        self._way = transport
        self._url = lru_cache(httpx2.URL)  # there are one or two for an agent, and to read one takes long

    def build_request(self, method: str, url: httpx2.URL | str, **how: Any) -> httpx2.Request:
        """Build a request: what httpx2 does for any, and in a quarter of its time what an SDK sends to an endpoint."""
        body = how.get("content")
        if not isinstance(body, bytes) or any(how.get(name) for name in UNUSUAL):
            return super().build_request(method, url, **how)
        return httpx2.Request(method, self._url(url), headers=how.get("headers"), stream=httpx2.ByteStream(body))

    async def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        """Send a request, without what httpx2 does for cookies and hooks, which an SDK uses none of."""
        if self.is_closed or request.url.userinfo or how.get("auth") not in (None, httpx2.USE_CLIENT_DEFAULT):
            return await super().send(request, **how)  # it says so, or writes who asks
        response = await self._way.handle_async_request(request)
        if response.status_code in MOVED:  # httpx2 asks again, and follows: nobody has done yet what was asked for
            return await super().send(request, **how)
        response.request = request
        return response


def http_client(*, timeout: float, renews: bool = False) -> httpx2.AsyncClient:
    """Make a client for a vendor's SDK, for one event loop.

    Args:
        timeout: As of `Pool`.
        renews: As of `Pool`.
    """
    return Client(Transport(timeout=timeout, renews=renews))
