"""Who may speak HTTP to a server: Host and Origin are checked, and a bearer token where one is set."""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING

from attrs import frozen
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@frozen(kw_only=True)
class Policy:
    """What requests must show.

    Without a token only this machine is served. Web pages are served only from origins that are named: a page of
    another site could otherwise reach a server on its visitor's machine by a host name that it controls.
    """

    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK_HOSTS
    """Hosts by which clients may call the server, with or without a port; None allows any, which needs a token."""
    origins: tuple[str, ...] = ()
    """Origins of web pages, such as ``https://inspector.example``; pages that this machine serves may ask, too."""
    is_secret: bool = False
    """Whether the address itself cannot be guessed, and stands for the token."""

    def refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Say with which status and why a request is refused; None when it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and not _is_one_of(host, self.hosts):
            return 421, f"host {host!r} is not served here; name it in allowed_hosts"
        if origin is not None and not self._allows(origin):
            return 403, f"origin {origin!r} is not allowed; name it in allowed_origins"
        if self.token is None:
            return None if _is_local(scope) else (403, "without a token only this machine is served; set one")
        if self.is_secret:
            return None
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(shown.strip().encode(), self.token.encode()):
            return 401, "this server needs its token: Authorization: Bearer <token>"
        return None

    def _allows(self, origin: str) -> bool:
        _, _, host = origin.partition("://")
        return origin in self.origins or _is_one_of(host, LOOPBACK_HOSTS)


class Guard:
    """Application that refuses what a `Policy` does.

    Args:
        app: What is guarded.
        policy: What requests must show.
    """

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        refused = self._policy.refuse(scope) if scope["type"] in ("http", "websocket") else None
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, text = refused
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004  the status for it
        await PlainTextResponse(text, status, headers)(scope, receive, send)


def _is_one_of(host: str, allowed: Iterable[str]) -> bool:
    """Whether a host, with any port, is among those allowed; one that is allowed with a port needs that port."""
    bare = host if host.endswith("]") else host.rpartition(":")[0] or host
    return any(entry.removesuffix(":*") in (host, bare) for entry in allowed)


def _is_local(scope: Scope) -> bool:
    """Whether a client is on this machine, as far as its address says; a socket file or a test has none."""
    client = scope.get("client")
    try:
        return client is None or ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return True
