"""Peers that speak HTTP byte for byte as a test says: a server, and a forward proxy. Each runs in a thread."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

BODY = json.dumps({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}]}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@dataclass
class Play:
    """What the server does with one request."""

    pieces: Iterable[bytes] = (OK,)
    pause: float = 0.0
    """Seconds before each piece."""
    close: bool = False
    """Close the connection then."""
    reset: bool = False
    """Break it off then, so that the other side reads an error and not an end."""
    at_once: bool = False
    """Do not read the body of the request first."""
    together: int = 1
    """Answer when so many requests, or a multiple of that, have come."""


@dataclass
class Heard:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Threaded:
    """A server in a thread, on a free port. A context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.heard: list[Heard] = []
        self.open: set[int] = set()
        """The connections that are open, counted from 0."""
        self._tls, self._host = tls, host
        self._numbers = itertools.count()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def connections(self) -> list[int]:
        return [request.connection for request in self.heard]

    def url(self, host: str = "") -> str:
        named = host or (f"[{self._host}]" if ":" in self._host else self._host)
        return f"{'https' if self._tls else 'http'}://{named}:{self.port}/v1"

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        self.open.add(number)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.talk(reader, writer, number)
        finally:
            self.open.discard(number)
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        raise NotImplementedError

    @staticmethod
    async def head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        return line, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class Peer(Threaded):
    """A server that plays.

    Args:
        plays: What it does with the requests, in their order; the last again and again.
        how: As `Threaded`.
    """

    def __init__(self, *plays: Play | bytes, **how: Any) -> None:
        super().__init__(**how)
        self.played = 0
        """How many requests have had all pieces."""
        made = [play if isinstance(play, Play) else Play((play,)) for play in plays] or [Play()]
        self._plays = itertools.chain(made, itertools.repeat(made[-1]))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            line, headers = await self.head(reader)
            play = next(self._plays)
            body = b"" if play.at_once else await reader.readexactly(int(headers.get("content-length", 0)))
            self.heard.append(Heard(line, headers, body, number))
            while len(self.heard) % play.together:
                await asyncio.sleep(0.005)
            for piece in play.pieces:
                await asyncio.sleep(play.pause)
                writer.write(piece)
                await writer.drain()
            self.played += 1
            if play.reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return writer.transport.abort()
            if play.close:
                return None


class ForwardProxy(Threaded):
    """A forward proxy: passes requests on, and opens tunnels.

    Args:
        user: Whom it wants to know, as ``name:password``.
        refuse: A status that it answers with instead.
        how: As `Threaded`.
    """

    def __init__(self, user: str = "", refuse: int = 0, **how: Any) -> None:
        super().__init__(**how)
        self._wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else None
        self._refuse = refuse

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        line, headers = await self.head(reader)
        self.heard.append(Heard(line, headers, b"", number))
        method, target, _ = line.split(" ")
        status = self._refuse or (407 if headers.get("proxy-authorization") != self._wanted else 0)
        if status:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            return await writer.drain()
        where = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
        host, _, port = where.rpartition(":")
        there, onward = await asyncio.open_connection(host.strip("[]"), int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = target.removeprefix(f"http://{where}")
            kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
            lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
            onward.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        try:
            await self._pass_on((reader, onward), (there, writer))
        finally:
            onward.close()
        return None

    @staticmethod
    async def _pass_on(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
                target.close()

        async with asyncio.TaskGroup() as tasks:
            for way in ways:
                tasks.create_task(copy(*way))


Start = Callable[[Threaded], Threaded]
