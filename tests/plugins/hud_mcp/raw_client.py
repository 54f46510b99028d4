"""A client that is one socket: to send half of a request, not to read, and to leave as no real client does."""

from __future__ import annotations

import json
import socket
import struct

import anyio

PATIENCE = 60.0
CHUNKS_END = b"\r\n0\r\n\r\n"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}},
}

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class RawClient:
    def __init__(self, stream):
        self.stream = stream
        self.headers = {
            "host": "127.0.0.1",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }

    async def post(self, message, path="/mcp", **headers):
        await self.send(json.dumps(message).encode(), path=path, **headers)

    async def send(self, body, length=None, path="/mcp", **headers):
        head = {**self.headers, **headers, "content-length": len(body) if length is None else length}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
        await self.stream.send(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def get(self):
        """Ask for the session's stream of notifications; gives the head of the answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        await self.stream.send(f"GET /mcp HTTP/1.1\r\n{lines}\r\n".encode())
        return await self.read_until(b"\r\n\r\n")

    async def read_until(self, end):
        data = b""
        with anyio.fail_after(PATIENCE):
            while not data.endswith(end):
                data += await self.stream.receive()
        return data.decode()

    async def listen_modern(self, path="/mcp", **meta):
        """Open a stream of notifications, and wait until it is there."""
        params = {"notifications": {"toolsListChanged": True}, "_meta": {**meta, **ENVELOPE}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        await self.post(message, path, mcp_protocol_version="2026-07-28", mcp_method="subscriptions/listen")
        assert "acknowledged" in await self.read_until(b"}\r\n\r\n\r\n")

    async def ask_modern(self, method, name, arguments, **meta):
        params = {"name": name, "arguments": arguments, "_meta": {**meta, **ENVELOPE}}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await self.post(message, mcp_protocol_version="2026-07-28", mcp_method=method, mcp_name=name)

    async def ask_legacy(self, method, name, arguments):
        await self.post({"jsonrpc": "2.0", "id": 2, "method": method, "params": {"name": name, "arguments": arguments}})

    async def begin_legacy(self):
        await self.post(INITIALIZE)
        head = (await self.read_until(CHUNKS_END)).lower()
        self.headers["mcp-session-id"] = head.partition("mcp-session-id: ")[2].partition("\r\n")[0]
        await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        await self.read_until(b"\r\n\r\n")

    def vanish(self):
        """End the connection as a process does that is killed, without a word."""
        own = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream._transport.abort()


async def connect(url):
    """Connect to the server of a URL."""
    return RawClient(await anyio.connect_tcp("127.0.0.1", int(url.split(":")[2].split("/")[0])))
