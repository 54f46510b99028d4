"""The pools as a transport of httpx2, whose clients the vendors' SDKs take. Importing this imports httpx2."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import httpx2

from hud_http.pool import Pool
from hud_http.route import PORTS, Origin

if TYPE_CHECKING:
    from hud_http.reply import Reply

FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))
"""Headers that say how a body travels: a pool writes them, and has undone what a reply says by them."""


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
            ConfigError: The environment names a proxy of a kind that is not spoken here.
        """
        url, body = request.url, await request.aread()
        if url.scheme not in PORTS:  # a redirect may lead anywhere
            raise httpx2.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https", request=request)
        origin = Origin(url.scheme, url.raw_host.decode("ascii"), url.port or PORTS[url.scheme])
        if (pool := self._pools.get(origin)) is None:
            pool = self._pools[origin] = self._make(origin, where=f"{origin.scheme}://{origin.authority}")
        lines = [b"%b: %b\r\n" % line for line in request.headers.raw if line[0].lower() not in FRAMING]
        target, sent = url.raw_path.decode("ascii"), None if request.method == "GET" and not body else body
        return Response(await pool.send(request.method, target, b"".join(lines), sent))

    async def aclose(self) -> None:
        """Close the connections; those that are in use when they are not used any more."""
        for pool in self._pools.values():
            await pool.close()


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


def http_client(*, timeout: float, renews: bool = False) -> httpx2.AsyncClient:
    """Make a client for a vendor's SDK, for one event loop.

    Args:
        timeout: As of `Pool`.
        renews: As of `Pool`.
    """
    client = httpx2.AsyncClient(transport=Transport(timeout=timeout, renews=renews), follow_redirects=True)
    client.headers.clear()  # the SDK writes its own; to merge both takes longer than to send them
    client.headers["accept-encoding"] = "identity"  # answers are short: compressing them costs more than it saves
    return client
