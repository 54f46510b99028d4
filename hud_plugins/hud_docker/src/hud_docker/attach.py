"""The three streams of a container, over a connection to the engine that is theirs from its answer on.

The docker SDK attaches in a blocking way and with a library's private parts. This is the same request, made here: one
line, a few headers, and then raw bytes both ways.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.tls import TLSStream

from hud_core.errors import ConfigError
from hud_docker.errors import EngineError, MissingError
from hud_docker.frames import STDERR, STDOUT, Demultiplexer
from hud_docker.translate import translated

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from hud_docker.address import Address
    from hud_docker.engine import Engine

MAX_HEAD = 65536
"""Bytes that the head of the engine's answer may have."""
MAX_WAITING = 1 << 20
"""Bytes of one stream that are kept while only the other one is read; then nobody is served before it is read, too."""
_SWITCHING, _OK, _MISSING = 101, 200, 404
_PORTS = {"tcp": 2375, "http": 2375, "https": 2376}


class Attached:
    """A container's streams. Reading either of them reads both from the engine: see to it that both are read.

    Args:
        connection: The connection to the engine, from its answer on.
        first: What came with the answer.
    """

    def __init__(self, connection: ByteStream, first: bytes) -> None:
        self._connection = connection
        self._frames = Demultiplexer()
        self._waiting: dict[int, deque[bytes]] = {STDOUT: deque(), STDERR: deque()}
        self._sizes = {STDOUT: 0, STDERR: 0}
        self._is_reading = False
        self._moved = anyio.Event()
        self.ended: anyio.Event = anyio.Event()
        """Set once the container's streams have ended, or the connection to the engine has."""
        self.stdin: ByteSendStream = _Stdin(connection)
        self.stdout: ByteReceiveStream = _Output(self, STDOUT)
        self.stderr: ByteReceiveStream = _Output(self, STDERR)
        self._sort(first)

    async def aclose(self) -> None:
        """Close the connection; the container goes on."""
        self.ended.set()
        await anyio.aclose_forcefully(self._connection)

    async def receive(self, stream: int) -> bytes:
        """Give what came next on a stream.

        Raises:
            EndOfStream: It has ended.
        """
        other = STDERR if stream == STDOUT else STDOUT
        while not self._waiting[stream]:
            if self.ended.is_set():
                raise anyio.EndOfStream
            if self._is_reading or self._sizes[other] > MAX_WAITING:
                await self._moved.wait()
            else:
                await self._read()
        piece = self._waiting[stream].popleft()
        self._sizes[stream] -= len(piece)
        self._tell()
        return piece

    async def until_ended(self) -> None:
        """Wait until the streams have ended. Reads them where nobody else does, and drops what nobody takes."""
        while not self.ended.is_set():
            if self._is_reading:
                await self._moved.wait()
                continue
            for stream, size in self._sizes.items():
                if size > MAX_WAITING:
                    self._waiting[stream].clear()
                    self._sizes[stream] = 0
            await self._read()

    async def _read(self) -> None:
        """Read once for both streams."""
        self._is_reading = True
        try:
            self._sort(await self._connection.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            self.ended.set()
        except EngineError:
            self.ended.set()
            raise
        finally:
            self._is_reading = False
            self._tell()

    def _sort(self, data: bytes) -> None:
        for stream, piece in self._frames.feed(data):
            if stream in self._waiting:
                self._waiting[stream].append(piece)
                self._sizes[stream] += len(piece)

    def _tell(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()


class _Output(ByteReceiveStream):
    """One of the streams that a container writes."""

    def __init__(self, attached: Attached, stream: int) -> None:
        self._attached = attached
        self._stream = stream

    async def receive(self, max_bytes: int = 65536) -> bytes:
        del max_bytes  # pieces are as the engine sends them, 32 KiB at the most
        return await self._attached.receive(self._stream)

    async def aclose(self) -> None:
        """Do nothing: both streams are one connection, which is closed with the container."""


class _Stdin(ByteSendStream):
    """What a container reads. Closing it is the end of its stdin, as far as the connection can say so."""

    def __init__(self, connection: ByteStream) -> None:
        self._connection = connection

    async def send(self, item: bytes) -> None:
        await self._connection.send(item)

    async def aclose(self) -> None:
        if not isinstance(self._connection, TLSStream):  # TLS ends both ways at once
            await self._connection.send_eof()


# --- the request ------------------------------------------------------------------------------------------------------


async def attach(engine: Engine, container: str) -> Attached:
    """Attach to a container that was created with an open stdin and without a terminal; best before it is started.

    Raises:
        EngineError: The engine refuses, or is gone.
        ConfigError: The engine is reached in a way that cannot carry streams.
    """
    try:
        connection = await _connect(engine.address)
    except (OSError, ssl.SSLError) as error:
        raise translated(error, engine.address) or EngineError(str(error)) from error
    try:
        await connection.send(_request(engine, container))
        return Attached(connection, await _answer(connection, engine.address))
    except BaseException as error:
        await anyio.aclose_forcefully(connection)
        if isinstance(error, anyio.BrokenResourceError | anyio.EndOfStream | OSError):
            msg = f"the engine at {engine.address} closed the connection when a container's streams were asked for"
            raise EngineError(msg) from error
        raise


def _request(engine: Engine, container: str) -> bytes:
    return (
        f"POST /v{engine.client.api_version}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1"
        "\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    ).encode("ascii")


async def _answer(connection: ByteStream, address: Address) -> bytes:
    """Read the answer's head, and give what followed it.

    Raises:
        EngineError: It says no.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += await connection.receive()
        if len(data) > MAX_HEAD:
            msg = f"what answers at {address} is no container engine: the head of its answer does not end"
            raise EngineError(msg)
    head, _, rest = data.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    said = re.match(r"HTTP/1\.[01] (\d{3})", line)
    status = int(said[1]) if said else 0
    if status not in (_SWITCHING, _OK):  # 200 is how engines answered before they switched protocols
        kind = MissingError if status == _MISSING else EngineError
        msg = f"the engine at {address} does not give a container's streams: {line}: {rest[:500].decode('latin-1')}"
        raise kind(msg)
    return rest


async def _connect(address: Address) -> ByteStream:
    if address.socket is not None:
        return await anyio.connect_unix(address.socket)
    parts = urlsplit(address.url)
    if parts.scheme not in _PORTS or not parts.hostname:
        msg = (
            f"containers cannot be spoken to over {address}, which {address.origin} names: {parts.scheme}:// has no "
            "streams for them; give the engine's unix:// or tcp:// address, for a remote one by "
            "`ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock user@host` and DOCKER_HOST=unix:///tmp/docker.sock"
        )
        raise ConfigError(msg)
    port = parts.port or _PORTS[parts.scheme]
    if address.tls is None and parts.scheme != "https":
        return await anyio.connect_tcp(parts.hostname, port)
    return await anyio.connect_tcp(
        parts.hostname, port, tls=True, ssl_context=_context(address), tls_standard_compatible=False
    )


def _context(address: Address) -> ssl.SSLContext:
    """Make the TLS settings that the SDK would use."""
    given = address.tls
    context = ssl.create_default_context(cafile=getattr(given, "ca_cert", None) or None)
    if given is not None and not given.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if given is not None and given.cert:
        context.load_cert_chain(*given.cert)
    return context
