"""A small forward proxy that lets its clients reach the hosts of a list, by CONNECT or plain HTTP, and nothing else."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from socket import SOCK_STREAM
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute
from attrs import frozen

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyio.abc import SocketStream

__all__ = ["ForwardProxy", "Host", "read_host"]

MOST_CLIENTS = 256
"""Connections that are served at once; more wait."""
MOST_HEAD = 32_768
"""Bytes of a request's head at the most."""
HEAD_SECONDS = 30.0
CONNECT_SECONDS = 30.0
IDLE_SECONDS = 600.0
"""How long a connection may carry nothing at all."""
CHUNK = 65_536

_WEB = (80, 443)
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_OUR_HEADERS = (b"proxy-", b"connection:", b"keep-alive:")


class RefusedError(Exception):
    """A request that is not passed on: a status line, and what it asked for."""

    def __init__(self, status: str, target: str) -> None:
        super().__init__(status)
        self.status = status
        self.target = target


@frozen
class Host:
    """A host that may be reached: a name, or ``*.`` and a domain, with a port or those of the web."""

    name: str
    port: int | None = None

    def matches(self, name: str, port: int) -> bool:
        """Whether a request for this name and port is meant."""
        if port not in (_WEB if self.port is None else (self.port,)):
            return False
        name = name.lower().rstrip(".")
        return name.endswith(self.name[1:]) and name != self.name[2:] if self.name[0] == "*" else name == self.name


def read_host(text: str) -> Host:
    """Read an entry of a list.

    Raises:
        ConfigError: It is no host.
    """
    name, separator, port = text.rpartition(":") if re.search(r":[0-9]+$", text) else (text, "", "")
    if not _NAME.fullmatch(name) or (separator and not 0 < int(port) < 65536):  # noqa: PLR2004
        msg = f"egress: {text!r} is no host; give a name, as 'pypi.org' or '*.pypi.org', or with a port, as 'db:5432'"
        raise ConfigError(msg)
    return Host(name.lower().strip("[]").rstrip("."), int(port) if port else None)


class ForwardProxy:
    """Serves one client's connection at a time with `serve`.

    Args:
        hosts: What may be reached.
        clients: Whether an address may use this proxy.
        on_refusal: Called with a client's address and what it was not let to.
    """

    def __init__(
        self, hosts: Iterable[Host], clients: Callable[[str], bool], on_refusal: Callable[[str, str], None]
    ) -> None:
        self._hosts = tuple(hosts)
        self._is_client = clients
        self._on_refusal = on_refusal
        self._places = anyio.CapacityLimiter(MOST_CLIENTS)

    async def serve(self, client: SocketStream) -> None:
        """Serve one connection, and close it. What either side does wrong ends this connection only."""
        address = str(client.extra(SocketAttribute.remote_address)[0])  # noqa: S610  not Django's
        async with client, self._places:
            if not self._is_client(address):
                return
            with suppress(OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                try:
                    await self._serve(client)
                except RefusedError as refusal:
                    if refusal.target:
                        self._on_refusal(address, refusal.target)
                    await client.send(_answer(refusal))

    async def _serve(self, client: SocketStream) -> None:
        with anyio.fail_after(HEAD_SECONDS):
            head, rest = await _read_head(client)
        method, target, version = _request_line(head)
        if method == "CONNECT":
            server = await self._connect(*_split(f"//{target}", None))
            await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server = await self._connect(*_split(target, 80))
            rest = _rewritten(head, method, target, version) + rest
        async with server:
            if rest:
                await server.send(rest)
            await _relay(client, server)

    async def _connect(self, name: str, port: int) -> SocketStream:
        entry = next((host for host in self._hosts if host.matches(name, port)), None)
        if entry is None:
            raise RefusedError("403 Forbidden", f"{name}:{port}")
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                return await anyio.connect_tcp(await _address(name, port, entry), port)
        except (OSError, UnicodeError):  # no such name, nobody there, or not in time
            raise RefusedError("502 Bad Gateway", "") from None


async def _address(name: str, port: int, entry: Host) -> str:
    """Resolve a name; never to this machine itself, nor to what only machines of a cloud see, unless the list says so.

    Raises:
        RefusedError: It has no other address.
        OSError: It has none.
    """
    for *_, found in await anyio.getaddrinfo(name, port, type=SOCK_STREAM):
        ip = ipaddress.ip_address(found[0])
        if not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast) or entry.name == name:
            return str(ip)
    raise RefusedError("403 Forbidden", f"{name}:{port}")


# --- HTTP -------------------------------------------------------------------------------------------------------------


async def _read_head(client: SocketStream) -> tuple[bytes, bytes]:
    """Read a request's head; give it, and what came behind it already."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MOST_HEAD:
            raise RefusedError("431 Request Header Fields Too Large", "")
        data += await client.receive(CHUNK)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _request_line(head: bytes) -> tuple[str, str, str]:
    parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004
        raise RefusedError("400 Bad Request", "")
    return parts[0], parts[1], parts[2]


def _split(url: str, port: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        name, found = parts.hostname, parts.port or port
    except ValueError:  # brackets or a port that are none
        raise RefusedError("400 Bad Request", "") from None
    if not name or not found or parts.scheme not in ("", "http"):
        raise RefusedError("400 Bad Request", "")
    return name, found


def _rewritten(head: bytes, method: str, target: str, version: str) -> bytes:
    """Give the head as the server is to get it: one request, and then the connection ends."""
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(_OUR_HEADERS)]
    return b"\r\n".join([f"{method} {path} {version}".encode("latin-1"), *kept, b"Connection: close", b"", b""])


def _answer(refusal: RefusedError) -> bytes:
    text = f"{refusal.status}: this container may not reach {refusal.target}\n" if refusal.target else refusal.status
    head = f"HTTP/1.1 {refusal.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close"
    return f"{head}\r\n\r\n{text}".encode()


async def _relay(client: SocketStream, server: SocketStream) -> None:
    """Carry bytes both ways until both sides have ended, one has gone, or nothing comes for long."""
    async with anyio.create_task_group() as tasks:
        for source, target in ((client, server), (server, client)):
            tasks.start_soon(_carry, source, target, tasks.cancel_scope)


async def _carry(source: SocketStream, target: SocketStream, both: anyio.CancelScope) -> None:
    try:
        while True:
            both.deadline = anyio.current_time() + IDLE_SECONDS
            await target.send(await source.receive(CHUNK))
    except anyio.EndOfStream:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await target.send_eof()
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        both.cancel()
