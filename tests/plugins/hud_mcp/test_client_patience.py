"""Our client with servers that take no more, stop in the middle of an answer, or never come to its end."""

from __future__ import annotations

import contextlib
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hud_core.errors import BackendError
from hud_core.model.task import EnvRef
from hud_core.testing.processes import descendants, is_running
from hud_mcp.client import http, lines, opening, process
from hud_mcp.client.backend import MCPBackend

PATIENCE = 60.0
LIMIT = 1_000_000
TIMEOUT = 1.5  # the handshake's requests have it, too, on a machine that may be busy
STDIO_SERVER = str(Path(__file__).parent / "servers" / "stuck.py")
# On trio, the SDK's HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def short_of_patience(monkeypatch):
    monkeypatch.setattr(http, "MAX_MESSAGE", LIMIT)
    monkeypatch.setattr(opening, "MAX_MESSAGE", LIMIT)
    monkeypatch.setattr(lines, "MAX_MESSAGE", LIMIT)
    monkeypatch.setattr(process, "EXIT_SECONDS", 0.3)  # none of these processes ends by itself


# --- over stdio -------------------------------------------------------------------------------------------------------


def started(how):
    return EnvRef("stuck", "mcp", {"command": sys.executable, "args": [STDIO_SERVER, how], "timeout": TIMEOUT})


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ("half", 10),
        ("deaf", 10),
        ("deaf", 5_000_000),  # the SDK takes 5 s to give up telling it
    ],
)
async def test_a_process_that_stands_still_costs_the_call_and_is_ended(how, size):
    before = descendants()
    with anyio.fail_after(PATIENCE):
        async with MCPBackend().open(started(how)) as session:
            result = await session.call_tool("any", text="x" * size)
    assert result.is_error
    assert "timed out" in result.text
    assert not {process for process in descendants() - before if is_running(process)}


async def test_a_process_that_never_ends_a_message_is_told_apart_and_ended():
    before = descendants()
    with anyio.fail_after(PATIENCE):
        async with MCPBackend().open(started("giant")) as session:
            with pytest.raises(BackendError, match=f"a message of more than {LIMIT} bytes"):
                await session.call_tool("any")
    assert not {process for process in descendants() - before if is_running(process)}


# --- over HTTP --------------------------------------------------------------------------------------------------------

HEAD = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n\r\n"
ANSWERS = {
    "server/discover": {"error": {"code": -32601, "message": "no such method"}},
    "initialize": {
        "result": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "stuck", "version": "0"},
        }
    },
}


@asynccontextmanager
async def serving(answer):
    """Serve the handshake, and answer calls of tools as a test wants to."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.start_soon(listener.serve, lambda stream: converse(stream, answer))
        yield EnvRef("stuck", "mcp", {"url": f"http://127.0.0.1:{port}/mcp", "timeout": TIMEOUT})
        tasks.cancel_scope.cancel()


async def converse(stream, answer):
    try:
        async with stream:
            while True:
                await respond(stream, await read_message(stream), answer)
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # the client, or the test, has what it wanted


async def read_message(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += await stream.receive()
    return json.loads(body) if body else {"method": "GET"}


async def respond(stream, message, answer):
    if message["method"] in ANSWERS:
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **ANSWERS[message["method"]]})
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        await stream.send((head + body).encode())
    elif message["method"] == "tools/call":
        await answer(stream)
    else:
        await stream.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")


async def silence(stream):
    await anyio.sleep_forever()


async def half(stream):
    await stream.send(HEAD.format("application/json").encode() + b'{"jsonrpc')
    await anyio.sleep_forever()


@pytest.mark.parametrize("answer", [silence, half])
async def test_a_server_that_stands_still_costs_the_call_alone(answer):
    with anyio.fail_after(PATIENCE):
        async with serving(answer) as ref, MCPBackend().open(ref) as session:
            result = await session.call_tool("any")
    assert result.is_error
    assert "timed out" in result.text


async def cut_off(stream):
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    raise anyio.EndOfStream


async def cut_off_event(stream):
    await stream.send(HEAD.format("text/event-stream").encode() + b'data: {"jsonrpc')
    raise anyio.EndOfStream


async def giant(stream):
    await stream.send(HEAD.format("application/json").encode())
    while True:
        await stream.send(b"x" * 100_000)


async def giant_event(stream):
    await stream.send(HEAD.format("text/event-stream").encode() + b"data: ")
    while True:
        await stream.send(b"x" * 100_000)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (cut_off, "peer closed connection"),
        (cut_off_event, "SSE stream ended"),
        (giant, f"a message of more than {LIMIT} bytes"),
        (giant_event, f"exceeded the {LIMIT} byte limit"),
    ],
)
async def test_an_answer_without_an_end_breaks_the_connection_and_says_why(answer, says):
    with anyio.fail_after(PATIENCE):
        async with serving(answer) as ref, MCPBackend().open(ref) as session:
            with pytest.raises(BackendError, match=f"'stuck' at http.*{says}"):
                await session.call_tool("any")


# --- REST interfaces --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving_rest(answer):
    """Serve one operation, answered as a test wants to."""

    async def once(stream):
        with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            async with stream:
                await read_message(stream)
                await answer(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, once)
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        document = {"openapi": "3.1.0", "servers": [{"url": url}], "paths": {"/x": {"get": {"operationId": "get"}}}}
        yield EnvRef("rest", "mcp", {"openapi": document, "timeout": 10})
        tasks.cancel_scope.cancel()


async def test_a_rest_answer_without_an_end_is_refused():
    with anyio.fail_after(PATIENCE):
        async with serving_rest(giant) as ref, MCPBackend().open(ref) as session:
            with pytest.raises(BackendError, match=f"'rest' at http.*a message of more than {LIMIT} bytes"):
                await session.call_tool("get")


async def test_rest_calls_do_not_wait_for_each_others_connections():
    number, arrived, all_here = 130, [], anyio.Event()

    async def meet(stream):
        arrived.append(1)
        if len(arrived) == number:
            all_here.set()
        await all_here.wait()
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nhere")

    async def call(session):
        assert (await session.call_tool("get")).text == "here"

    with anyio.fail_after(PATIENCE):
        async with serving_rest(meet) as ref, MCPBackend().open(ref) as session, anyio.create_task_group() as tasks:
            for _ in range(number):
                tasks.start_soon(call, session)
