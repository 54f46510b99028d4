"""Clients that stop in the middle, never read, or send what is no message: they cost little, and harm nobody else."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from serving import make_environment, over_http

from hud.server import progress
from hud_mcp.server import EnvironmentServer

HEADERS = (
    "host: 127.0.0.1\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n"
    "mcp-protocol-version: 2026-07-28\r\n"
)


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


def port_of(url):
    return int(url.split(":")[2].split("/")[0])


def call(name, **meta):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        **meta,
    }
    params = {"name": name, "arguments": {}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    head = f"POST /mcp HTTP/1.1\r\n{HEADERS}mcp-method: tools/call\r\nmcp-name: {name}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


@asynccontextmanager
async def raw(url):
    """Connect without anything that knows HTTP, and with small buffers."""
    with closing(socket.socket()) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port_of(url)))
        plain.settimeout(0)
        yield plain


async def everything(plain):
    """Read until the server hangs up."""
    loop, parts = asyncio.get_running_loop(), []
    while part := await loop.sock_recv(plain, 65536):
        parts.append(part)
    return b"".join(parts)


async def works(url):
    with anyio.fail_after(60):
        async with Client(url) as client:
            return (await client.call_tool("add", {"a": 2, "b": 3})).content[0].text == "5"


# --- half-open --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"POST /mcp HTTP/1.1\r\nhost: 127.0"])
async def test_a_request_that_never_comes_is_hung_up_on(sent, monkeypatch):
    monkeypatch.setattr("hud_mcp.server.http.STUCK_SECONDS", 0.8)
    async with over_http(EnvironmentServer(make_environment())) as url, raw(url) as plain:
        plain.send(sent)
        assert await works(url)
        with anyio.fail_after(60):
            assert await everything(plain) == b""
        assert await works(url)


async def test_a_body_that_never_comes_is_refused(monkeypatch):
    monkeypatch.setattr("hud_mcp.server.http.BODY_SECONDS", 0.8)
    async with over_http(EnvironmentServer(make_environment())) as url, raw(url) as plain:
        plain.send(call("add")[:-10])
        assert await works(url)
        with anyio.fail_after(60):
            answer = await everything(plain)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the request's body did not arrive within 0.8 s" in answer


# --- slow readers -----------------------------------------------------------------------------------------------------


async def test_a_tool_that_speaks_to_a_client_that_does_not_read_waits_for_it():
    env, sent, ended = make_environment(), [], anyio.Event()

    @env.tool
    async def chatter() -> str:
        try:
            for number in range(100_000):
                await progress(number, None, "x" * 1000)
                sent.append(number)
        finally:
            ended.set()
        return "never"

    async with over_http(EnvironmentServer(env)) as url:
        async with raw(url) as plain:
            await asyncio.get_running_loop().sock_sendall(plain, call("chatter", progressToken=1))
            with anyio.fail_after(60):
                before = -1
                while not sent or len(sent) != before:  # until it says no more
                    before = len(sent)
                    await anyio.sleep(0.3)
            assert len(sent) < 50_000
            assert await works(url)
        with anyio.fail_after(60):  # the client is gone: so is its call
            await ended.wait()


async def test_answers_that_nobody_reads_are_dropped_with_their_connections():
    env = make_environment()

    @env.tool
    def huge() -> str:
        return "x" * 4_000_000

    async with over_http(EnvironmentServer(env)) as url:
        assert await works(url)
        tasks = len(asyncio.all_tasks())
        loop = asyncio.get_running_loop()
        slow = []
        for _ in range(10):
            plain = socket.create_connection(("127.0.0.1", port_of(url)))
            plain.settimeout(0)
            await loop.sock_sendall(plain, call("huge"))
            slow.append(plain)
        assert await works(url)
        for plain in slow:
            plain.close()
        with anyio.fail_after(60):
            while len(asyncio.all_tasks()) > tasks:
                await anyio.sleep(0.05)
        assert await works(url)


async def test_a_client_that_never_reads_its_stream_holds_up_nobody():
    heard = []

    async def keep(message):
        if isinstance(message, types.ToolListChangedNotification):
            heard.append(message)

    env = make_environment()
    server = EnvironmentServer(env)
    async with (
        over_http(server) as url,
        Client(url, mode="legacy", message_handler=keep),
        httpx2.AsyncClient(headers={"accept": "application/json, text/event-stream"}) as http,
        raw(url) as plain,
    ):
        started = await http.post(url, json=HELLO)
        known = {"mcp-session-id": started.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await http.post(url, json=ready, headers=known)).status_code == 202
        lines = "".join(f"{name}: {value}\r\n" for name, value in known.items())
        head = f"GET /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n{lines}\r\n"
        await asyncio.get_running_loop().sock_sendall(plain, head.encode())
        with anyio.fail_after(60):
            for _ in range(20):
                await server.replace(env)
            while len(heard) < 20:
                await anyio.sleep(0.02)
        assert (await asyncio.get_running_loop().sock_recv(plain, 12)) == b"HTTP/1.1 200"


# --- what is no message, at stdin -------------------------------------------------------------------------------------

SCRIPT = """
from hud import Environment
from hud_mcp.server import EnvironmentServer
import anyio

env = Environment("letters")

@env.tool
def add(a: int, b: int = 1) -> int:
    return a + b

anyio.run(EnvironmentServer(env, max_body=100_000).serve_stdio)
"""
HELLO = {
    "jsonrpc": "2.0",
    "id": "hello",
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}},
}
ADD = {"jsonrpc": "2.0", "id": "add", "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1}}}


@asynccontextmanager
async def process():
    async with await anyio.open_process([sys.executable, "-c", SCRIPT], stderr=None) as server:
        lines = answers(server.stdout)
        await server.stdin.send(json.dumps(HELLO).encode() + b"\n")
        assert (await anext(lines))["id"] == "hello"
        await server.stdin.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        yield server, lines
        await server.stdin.aclose()


async def answers(stream):
    buffered = b""
    async for chunk in stream:
        *lines, buffered = (buffered + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def resident(pid):
    fields = Path(f"/proc/{pid}/statm").read_text("utf-8").split()
    return int(fields[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see a process' memory")
async def test_a_giant_line_is_refused_and_not_kept():
    async with process() as (server, lines):
        before = resident(server.pid)
        for _ in range(1000):
            await server.stdin.send(b"x" * 65536)  # 64 MiB without an end
        assert resident(server.pid) - before < 16 * 1024 * 1024
        await server.stdin.send(b"\n")
        with anyio.fail_after(60):
            refused = await anext(lines)
            assert refused["id"] is None
            assert refused["error"]["code"] == types.PARSE_ERROR
            assert "more than 100000 bytes" in refused["error"]["message"]
            await server.stdin.send(json.dumps(ADD).encode() + b"\n")
            assert (await anext(lines))["result"]["content"][0]["text"] == "2"


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(max_size=100).map(lambda data: data.replace(b"\n", b""))
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        ).map(lambda value: json.dumps(value).encode())
        | st.fixed_dictionaries(
            {"jsonrpc": st.just("2.0"), "id": st.integers() | st.none() | st.text(max_size=5)},
            optional={"method": st.sampled_from(["tools/call", "tools/list", "nope"]), "params": st.just({"name": 5})},
        ).map(lambda message: json.dumps(message).encode()),
        min_size=20,
        max_size=40,
    )
)
def test_whatever_comes_in_the_process_goes_on(frames):
    async def send():
        async with process() as (server, lines):
            for frame in frames:
                await server.stdin.send(frame + b"\n")
            await server.stdin.send(json.dumps(ADD).encode() + b"\n")
            with anyio.fail_after(60):
                while (await anext(lines)).get("id") != "add":
                    pass

    anyio.run(send)
