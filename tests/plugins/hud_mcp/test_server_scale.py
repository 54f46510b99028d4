"""A server with many clients at once, with clients that vanish, and with clients that do not read."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.connection import Connection
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.shared import _otel
from opentelemetry import trace
from raw_client import CHUNKS_END, connect
from serving import Log, make_environment, over_http

from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend
from hud_mcp.server import EnvironmentServer, episodes, http
from hud_mcp.server.episodes import Episode
from hud_mcp.server.surface import Surface
from hud_mcp.wire import AGENT, EPISODE

PATIENCE = 60.0
BURST = 120.0
"""How long one of 500 clients may have to wait for the others, which share its processor with it."""


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture
def servers(monkeypatch):
    """Keep the uvicorn servers that are made, to look at their connections."""
    made = []

    class Kept(uvicorn.Server):
        def __init__(self, config):
            super().__init__(config)
            made.append(self)

    monkeypatch.setattr(uvicorn, "Server", Kept)
    return made


# --- what a call does not pay for -------------------------------------------------------------------------------------


async def test_small_answers_are_sent_at_once(servers):
    async with over_http(EnvironmentServer(make_environment())) as url, Client(url) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        (server,) = servers
        sockets = [connection.transport.get_extra_info("socket") for connection in server.server_state.connections]
        assert sockets
        assert all(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for found in sockets)


async def test_spans_are_made_where_something_records_them(monkeypatch):
    names = []

    class Tracer(trace.NoOpTracer):
        def start_as_current_span(self, name, *args, **options):
            names.append(name)
            return super().start_as_current_span(name, *args, **options)

    monkeypatch.setattr(_otel, "_tracer", Tracer())
    async with Client(EnvironmentServer(make_environment()).lowlevel) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        assert names == []
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
        await client.call_tool("add", {"a": 1, "b": 2})
        assert names == ["tools/call add"]


async def test_nobody_listens_for_changes_until_somebody_looks(monkeypatch):
    listened = []
    real = Surface.listen

    async def listen(self, ctx, params):
        listened.append(params)
        return await real(self, ctx, params)

    monkeypatch.setattr(Surface, "listen", listen)
    async with over_http(EnvironmentServer(make_environment())) as url:
        async with MCPBackend().open(EnvRef("letters", "mcp", {"url": url})) as session:
            await session.list_tools()
            await session.call_tool("add", a=1, b=2)
        assert listened == []
        async with MCPBackend().open(EnvRef("letters", "mcp", {"url": url})) as session:
            before = session.tools.revision
            with anyio.fail_after(PATIENCE):
                while not listened:
                    await anyio.sleep(0.01)
            assert session.tools.revision == before


# --- many at once -----------------------------------------------------------------------------------------------------


def alive():
    """How many tasks there are, and open files."""
    return len(asyncio.all_tasks()), sum(1 for _ in Path("/proc/self/fd").iterdir())


def left_behind():
    """What of the sessions is still alive in this process."""
    for _ in range(1000):  # asyncio forgets timers that were cancelled, and who set them, only when there are many
        asyncio.get_running_loop().call_later(3600, print).cancel()
    gc.collect()
    kinds = (Episode, Connection, StreamableHTTPServerTransport)
    return [found for found in gc.get_objects() if isinstance(found, kinds)]


async def until(holds):
    with anyio.fail_after(PATIENCE):
        while not holds():
            await anyio.sleep(0.02)


@pytest.fixture
def many_files():
    """Let this process open as many sockets as both ends of the sessions are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def modern_episode(stack, url, backend, text, go):
    """An episode by our client; gives its reward."""
    ref = EnvRef("letters", "mcp", {"url": url, "connect_timeout": BURST})
    session = await stack.enter_async_context(backend.open(ref))
    await session.setup("echo", {"expected": text})
    await go()
    assert (await session.call_tool("add", a=1, b=len(text))).text == str(1 + len(text))
    return (await session.grade(Answer(text=text))).reward


async def legacy_episode(stack, url, context, text, go):
    """An episode by a client of the handshake era, which its session's header alone tells from others."""
    http = await stack.enter_async_context(httpx2.AsyncClient(verify=context, timeout=BURST))
    client = await stack.enter_async_context(Client(streamable_http_client(url, http_client=http), mode="legacy"))
    await client.get_prompt("letters:echo", {"expected": text})
    await go()
    assert (await client.call_tool("add", {"a": 1, "b": len(text)})).content[0].text == str(1 + len(text))
    await submit(client, "echo", text)
    return json.loads((await client.read_resource("letters:echo")).contents[0].text)["reward"]


async def submit(client, scenario, answer):
    """Submit an answer. Not by the client's call_tool: that wants to see the tool listed, and logs that it is not."""
    params = types.CallToolRequestParams(name="_hud_submit", arguments={"scenario": scenario, "answer": answer})
    await client.session.send_request(types.CallToolRequest(params=params), types.CallToolResult)


@pytest.mark.slow
async def test_five_hundred_sessions_at_once_are_served_and_leave_nothing(many_files):
    number, rewards, waiting, all_set_up = 500, [], [], anyio.Event()
    server, backend, context = EnvironmentServer(make_environment()), MCPBackend(), ssl.create_default_context()

    async def arrive():
        waiting.append(1)
        if len(waiting) == number:
            assert len(run.episodes) == number
            all_set_up.set()
        await all_set_up.wait()

    async def one(index, go=arrive):
        async with AsyncExitStack() as stack:
            kind, own = (legacy_episode, context) if index % 2 else (modern_episode, backend)
            rewards.append(await kind(stack, url, own, f"number {index}", go))

    async with over_http(server) as url:
        await one(0, anyio.lowlevel.checkpoint)
        await one(1, anyio.lowlevel.checkpoint)
        (run,) = server._runs
        await until(lambda: not left_behind())
        rewards.clear()
        before = alive()
        async with anyio.create_task_group() as tasks:
            for index in range(number):
                tasks.start_soon(one, index)
        assert rewards == [1.0] * number
        await until(lambda: all(now <= then for now, then in zip(alive(), before, strict=True)))
        await until(lambda: not left_behind())
        assert not len(run.episodes)
        assert not run.episodes._open
        assert not run.episodes._latest
        assert not run.connections


# --- clients that vanish ----------------------------------------------------------------------------------------------


async def vanish_in_episode(url, number, waits):
    """Set an episode up, perhaps call a tool of it that never returns, and vanish."""
    client = await connect(url)
    if number % 2:
        await client.begin_legacy()
        await client.ask_legacy("prompts/get", "letters:count", {"word": f"w{number}"})
        assert "How many" in await client.read_until(CHUNKS_END)
        if waits:
            await client.ask_legacy("tools/call", "wait", {})
    else:
        await client.ask_modern("prompts/get", "letters:count", {"word": f"w{number}"})
        answer = await client.read_until(b"}")
        handle = answer.partition('hud/episode":"')[2].partition('"')[0]
        assert handle
        if waits:
            await client.ask_modern("tools/call", "wait", {}, **{"hud/episode": handle})
    return client


@pytest.mark.slow
async def test_a_thousand_clients_that_vanish_leave_nothing():
    log, number = Log(), 1000
    server = EnvironmentServer(make_environment(log), episode_ttl=2.0)
    async with over_http(server) as url:
        (run,) = server._runs
        client = await vanish_in_episode(url, 1, waits=False)  # what is there from the first request on
        client.vanish()
        await until(lambda: not left_behind())
        before = alive()
        for start in range(0, number, 50):
            clients = [await vanish_in_episode(url, index, waits=index % 4 > 1) for index in range(start, start + 50)]
            await until(lambda begun=start // 2 + 24: log.lines.count("waiting") >= begun)
            for client in clients:
                client.vanish()
        await until(lambda: not log.open)
        await until(lambda: all(now <= then for now, then in zip(alive(), before, strict=True)))
        await until(lambda: not left_behind())
        assert log.lines.count("waiting") == log.lines.count("no longer waiting") == number // 2
        assert not len(run.episodes)
        assert not run.episodes._latest
        assert not run.connections


async def test_a_session_ends_soon_after_the_stream_that_its_client_held(monkeypatch):
    monkeypatch.setattr(http, "GONE_SECONDS", 1.0)
    log = Log()
    async with over_http(EnvironmentServer(make_environment(log))) as url:
        client = await vanish_in_episode(url, 1, waits=False)
        stream = await listening(url, client)
        await anyio.sleep(1.3)
        assert log.open  # it asks for nothing, but is there
        stream.vanish()
        stream = await listening(url, client)
        await anyio.sleep(1.3)
        assert log.open  # it has come back
        stream.vanish()
        client.vanish()
        await until(lambda: not log.open)


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
async def test_an_episode_ends_soon_after_the_stream_that_named_it(monkeypatch, again):
    """As above, for clients of the later era: they have no session, and may say which episode a stream is for."""
    monkeypatch.setattr(episodes, "SWEEP_SECONDS", 0.05)
    log = Log()
    server = EnvironmentServer(make_environment(log))
    async with over_http(server) as url, Client(url) as harness:
        prompt = await harness.get_prompt("letters:count", {"word": "x"})
        meta = {EPISODE: prompt.meta[EPISODE]}
        stream = await connect(url)
        await stream.listen_modern(**meta)
        (run,) = server._runs
        (episode,) = run.episodes
        await as_if_unused(episode)
        assert log.open  # it asks for nothing, but is there
        stream.vanish()
        await until(lambda: episode._is_left)
        if again:  # it lives, and goes on without a stream
            await harness.call_tool("add", {"a": 1}, meta=meta)
            await as_if_unused(episode)
            assert log.open
        else:
            await as_if_unused(episode)
            await until(lambda: not log.open)


async def as_if_unused(episode):
    """Have the server look at an episode, again and again, as if it had been unused for a while."""
    episode.seen -= 2 * episodes.GONE_SECONDS
    await anyio.sleep(0.3)


@pytest.mark.slow
async def test_an_agent_whose_stream_ends_ends_nothing(monkeypatch):
    monkeypatch.setattr(episodes, "GONE_SECONDS", 0.2)
    monkeypatch.setattr(episodes, "SWEEP_SECONDS", 0.1)
    log = Log()
    async with over_http(EnvironmentServer(make_environment(log))) as url, Client(url) as harness:
        prompt = await harness.get_prompt("letters:count", {"word": "x"})
        agent = await connect(url)
        await agent.listen_modern(f"/mcp/episode/{prompt.meta[AGENT]}", **{EPISODE: prompt.meta[EPISODE]})
        agent.vanish()
        await anyio.sleep(0.6)
        assert log.open


async def listening(url, client):
    """Open the stream of notifications of a client's session."""
    stream = await connect(url)
    stream.headers = client.headers
    while "200 OK" not in await stream.get():  # the server has not yet seen that the one before has ended
        await anyio.sleep(0.02)
    return stream


# --- sockets that stand still -----------------------------------------------------------------------------------------

BIG = 8_000_000


@pytest.fixture
def short_patience(monkeypatch):
    """Wait less long for clients that do nothing."""
    monkeypatch.setattr(http, "BODY_SECONDS", 0.8)
    monkeypatch.setattr(http, "STUCK_SECONDS", 0.8)


def with_big_results():
    env = make_environment()

    @env.tool
    async def big() -> str:
        """Give a lot."""
        return "x" * BIG

    return env


async def test_half_open_sockets_are_dropped_and_take_nobodys_place(servers, short_patience):
    server = EnvironmentServer(make_environment(), max_sessions=30)
    async with over_http(server) as url, Client(url) as other:
        silent = [await connect(url) for _ in range(30)]
        begun = [await connect(url) for _ in range(30)]
        for client in begun:
            await client.stream.send(b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-")
        halves = [await connect(url) for _ in range(30)]  # each would be a session of the handshake era
        for client in halves:
            await client.send(b'{"jsonrpc": "2.0", "id": 1', length=200)
        assert (await other.call_tool("add", {"a": 1, "b": 2})).content[0].text == "3"
        for client in halves:
            answer = await client.read_until(b" s")
            assert "408" in answer.splitlines()[0]
            assert "the request's body did not arrive within" in answer
        for client in silent + begun:
            with anyio.fail_after(PATIENCE), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await client.stream.receive()
        await until(lambda: len(servers[0].server_state.connections) <= 1)
        assert (await other.call_tool("add", {"a": 1, "b": 2})).content[0].text == "3"
        for _ in range(30):
            client = await connect(url)
            await client.begin_legacy()
            client.vanish()
        for client in silent + begun + halves:
            await client.stream.aclose()


async def test_clients_that_do_not_read_are_dropped_and_others_are_unharmed(servers, short_patience):
    async with over_http(EnvironmentServer(with_big_results(), episode_ttl=1.0)) as url, Client(url) as other:
        deaf, stuck, (server,) = [], set(), servers

        async def watch():  # from the beginning: on a busy machine the first is dropped before the last is there
            while True:
                stuck.update(c for c in server.server_state.connections if c.transport.get_write_buffer_size())
                await anyio.sleep(0.02)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            for index in range(10):
                client = await connect(url)
                deaf.append(client)
                if index % 2:
                    await client.begin_legacy()
                    await client.ask_legacy("tools/call", "big", {})
                else:
                    await client.ask_modern("tools/call", "big", {})
            assert (await other.call_tool("add", {"a": 1, "b": 2})).content[0].text == "3"
            await until(lambda: len(stuck) == 10)
            tasks.cancel_scope.cancel()
        stuck.clear()
        await until(lambda: len(server.server_state.connections) <= 1)
        await until(lambda: not left_behind())
        assert (await other.call_tool("add", {"a": 1, "b": 2})).content[0].text == "3"
        for client in deaf:
            await client.stream.aclose()


async def test_a_client_that_reads_slowly_gets_everything(short_patience):
    async with over_http(EnvironmentServer(with_big_results())) as url:
        client = await connect(url)
        await client.ask_modern("tools/call", "big", {})
        received = 0
        while received < BIG:
            received += len(await client.stream.receive(100_000))
            await anyio.sleep(0.02)
        await client.stream.aclose()


async def test_more_calls_at_once_than_a_pool_has_connections():
    env, number, arrived, all_here = make_environment(), 150, [], anyio.Event()

    @env.tool
    async def meet() -> int:
        """Wait for all the others."""
        arrived.append(1)
        if len(arrived) == number:
            all_here.set()
        await all_here.wait()
        return len(arrived)

    async with over_http(EnvironmentServer(env)) as url:
        ref = EnvRef("letters", "mcp", {"url": url, "connect_timeout": PATIENCE})
        async with MCPBackend().open(ref) as session, anyio.create_task_group() as tasks:
            with anyio.fail_after(PATIENCE):
                for _ in range(number):
                    tasks.start_soon(lambda: session.call_tool("meet"))
                await all_here.wait()
