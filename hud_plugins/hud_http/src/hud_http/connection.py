"""A connection to an HTTP server: a bare socket that does not block, with TLS or without.

Sockets are waited for with `anyio.wait_readable`, on asyncio as on trio. Streams would do as well, for half as much CPU
again: they are made for many small reads, and these wait for one reply.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from ipaddress import ip_address

import anyio
from anyio.abc import SocketAttribute

SIZE = 64 * 1024
"""Bytes that are read at once: more than a record of TLS, so that each is read whole."""
SILENCE = 60
"""Seconds of silence after which TCP asks whether the other side is still there; a model may think for minutes."""
WANTS_READ = (BlockingIOError, ssl.SSLWantReadError)


class Connection:
    """An open connection.

    Args:
        sock: A connected socket that does not block.
    """

    __slots__ = ("_sock", "idle_since")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.idle_since = 0.0
        """When it was last put aside, on the monotonic clock."""

    async def send(self, data: bytes) -> None:
        """Send all of this.

        Raises:
            OSError: The connection is broken.
        """
        rest = memoryview(data)
        while True:
            try:
                sent = self._sock.send(rest)
            except ssl.SSLWantReadError:
                await anyio.wait_readable(self._sock)
                continue
            except (BlockingIOError, ssl.SSLWantWriteError):
                await anyio.wait_writable(self._sock)
                continue
            if sent == len(rest):
                return
            rest = rest[sent:]

    async def receive(self) -> bytes:
        """Wait for what comes next; nothing at the end.

        Raises:
            OSError: The connection is broken.
        """
        while True:  # what TLS has read it has given: nothing waits between the socket and here
            await anyio.wait_readable(self._sock)
            try:
                return self._sock.recv(SIZE)
            except WANTS_READ:
                continue
            except ssl.SSLWantWriteError:
                await anyio.wait_writable(self._sock)

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands with TLS.

        Raises:
            OSError: The other side does not, or is not who it should be.
        """
        sock = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
        self._sock = sock
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                await anyio.wait_readable(sock)
            except ssl.SSLWantWriteError:
                await anyio.wait_writable(sock)

    @property
    def is_stale(self) -> bool:
        """Whether the other side has closed it, or spoken unasked, while nothing was to be read."""
        try:  # below TLS, which cannot be asked without reading
            socket.socket.recv(self._sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close it."""
        self._sock.close()


async def connect(host: str, port: int) -> Connection:
    """Connect to a host; of several addresses, to the first that answers.

    Raises:
        OSError: None does.
    """
    sock = await (_dial(host, port) if _is_address(host) else _find(host, port))
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE)
    except OSError:  # some systems refuse this for a connection that is broken already
        sock.close()
        raise
    return Connection(sock)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _find(host: str, port: int) -> socket.socket:
    stream = await anyio.connect_tcp(host, port)
    try:
        sock: socket.socket = stream.extra_attributes[SocketAttribute.raw_socket]().dup()  # its own is the loop's
    finally:
        with anyio.CancelScope(shield=True):  # it closes without waiting for anybody; the copy must not be lost
            await anyio.aclose_forcefully(stream)
    return sock


async def _dial(address: str, port: int) -> socket.socket:
    """Connect to an address, which needs none of what finding one of many takes: that is a fifth of a millisecond."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(0)
    problem = sock.connect_ex((address, port))
    if problem in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        try:
            await anyio.wait_writable(sock)
        except BaseException:
            sock.close()
            raise
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        sock.close()
        raise OSError(problem, os.strerror(problem))
    return sock


def trust() -> ssl.SSLContext:
    """Make the context of TLS: whom this machine trusts, or ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` say."""
    is_said = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if sys.platform in ("darwin", "win32") and not is_said:  # OpenSSL knows nothing of what these systems trust
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
