"""Replicas of one server, in processes of their own behind something that takes turns: any of them grades."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import pytest
import serving
from free_ports import free_port
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from hud_core import Environment
from hud_core.errors import ConfigError
from hud_mcp.server import EnvironmentServer, FolderStore, UrlStore
from hud_mcp.server.store import Address
from hud_mcp.wire import AGENT, EPISODE, episode_url

REPLICA = Path(__file__).parent / "servers" / "replica.py"


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


class TakingTurns(httpx2.AsyncBaseTransport):
    """Sends each request to the next port, as a load balancer does that knows nothing of MCP."""

    def __init__(self, ports):
        self.asked = []
        self.turns = deque(ports)
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        port = self.turns[0]
        self.turns.rotate()
        self.asked.append(port)
        request.url = request.url.copy_with(port=port)
        return await self._inner.handle_async_request(request)

    async def aclose(self):
        await self._inner.aclose()


@contextmanager
def replica(shared, port=None):
    """Run a replica in a process of its own; give its port and the process."""
    port = port or free_port()
    with subprocess.Popen([sys.executable, str(REPLICA), str(port), shared]) as process:
        try:
            until_open(port)
            yield port, process
        finally:
            process.terminate()


def until_open(port):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the replica does not listen")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The ports of two replicas that share a folder, which they leave empty."""
    folder = tmp_path_factory.mktemp("r") / "replicas"
    with replica(str(folder)) as (one, _), replica(str(folder)) as (two, _):
        yield one, two
    assert not list(folder.iterdir())


@asynccontextmanager
async def balanced(ports, mode="auto", address="", **callbacks):
    """Connect through turns, to the address of an episode where there is one."""
    turns = TakingTurns(ports)
    async with httpx2.AsyncClient(transport=turns, timeout=30) as http:
        transport = streamable_http_client(f"http://127.0.0.1:1/mcp{address}", http_client=http)
        async with Client(transport, mode=mode, **callbacks) as client:
            yield client, turns


@pytest.fixture
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("r") / "replicas")


async def rollout(client, answer, port):
    """Set a scenario up at one replica, and let whoever's turn it is do the rest; give who did what."""
    async with Client(f"http://127.0.0.1:{port}/mcp") as first:
        prompt = await first.get_prompt("letters:where", {"expected": answer})
    meta = {"hud/episode": prompt.meta["hud/episode"]}
    called = {(await client.call_tool("pid", {}, meta=meta)).content[0].text for _ in range(4)}
    await client.call_tool("_hud_submit", {"scenario": "where", "answer": answer}, meta=meta)
    graded = await client.read_resource("letters:where", meta=meta)
    return prompt.messages[0].content.text, called, json.loads(graded.contents[0].text)


async def test_replicas_grade_each_others_episodes(pair, mode):
    homes = set()
    async with balanced(pair, mode) as (client, turns):
        for port in pair:
            home, called, graded = await rollout(client, f"answer {port}", port)
            assert called == {home}  # every request of an episode reaches the process that holds it
            assert graded == {"reward": 1.0, "done": True, "info": {"graded in": home}, "isError": False}
            homes.add(home)
    assert len(homes) == 2
    assert set(turns.asked) == set(pair)


async def test_the_address_of_an_episode_leads_to_it_through_any_replica(pair, mode):
    async with Client(f"http://127.0.0.1:{pair[0]}/mcp") as harness:
        prompt = await harness.get_prompt("letters:where", {"expected": "here"})
        async with balanced(pair, mode, address=episode_url("", prompt.meta[AGENT])) as (agent, turns):
            called = {(await agent.call_tool("pid", {})).content[0].text for _ in range(4)}
            assert called == {prompt.messages[0].content.text}
            assert set(turns.asked) == set(pair)
            assert (await agent.list_prompts()).prompts == []
            meta = {EPISODE: prompt.meta[EPISODE]}
            await harness.call_tool("_hud_submit", {"scenario": "where", "answer": "here"}, meta=meta)
            await harness.read_resource("letters:where", meta=meta)
            for _ in range(2):
                with pytest.raises(MCPError, match="has ended"):
                    await agent.list_tools()


async def test_progress_comes_through_another_replica(pair):
    async with balanced(pair) as (client, _):
        prompt = await client.get_prompt("letters:where", {"expected": ""})
        for _ in range(2):
            seen = []

            async def keep(done, total, message, seen=seen):
                seen.append((done, total, message))

            meta = {"hud/episode": prompt.meta["hud/episode"]}
            await client.call_tool("steps", {}, meta=meta, progress_callback=keep)
            assert seen == [(1, 2, "one"), (2, 2, "two")]


async def test_many_long_calls_do_not_keep_others_from_a_replica(pair, tmp_path):
    async with Client(f"http://127.0.0.1:{pair[0]}/mcp") as first:
        prompt = await first.get_prompt("letters:where", {"expected": ""})
    meta = {"hud/episode": prompt.meta["hud/episode"]}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as http, anyio.create_task_group() as tasks:
        transport = streamable_http_client(f"http://127.0.0.1:{pair[1]}/mcp", http_client=http)
        async with Client(transport) as client:
            for number in range(120):
                call = {"file": str(tmp_path / str(number))}
                tasks.start_soon(lambda call=call: client.call_tool("wait", call, meta=meta))
            with anyio.fail_after(60):
                while len(list(tmp_path.iterdir())) < 120:
                    await anyio.sleep(0.05)
                result = await client.call_tool("pid", {}, meta=meta)
            assert result.content[0].text == prompt.messages[0].content.text
            tasks.cancel_scope.cancel()


async def test_a_call_that_asks_goes_on_where_it_began(pair):
    async def fill_in(context, params):
        return types.ElicitResult(action="accept", content={"name": params.message})

    async with balanced(pair, elicitation_callback=fill_in) as (client, _):
        prompt = await client.get_prompt("letters:where", {"expected": ""})
        home = prompt.messages[0].content.text
        for meta in ({"hud/episode": prompt.meta["hud/episode"]}, {}):
            result = await client.call_tool("ask", {}, meta=meta)
            assert result.content[0].text.startswith("First? Second? in ")
            assert not meta or result.content[0].text.endswith(home)


async def test_a_cancelled_call_is_cancelled_in_the_other_replica(pair, tmp_path):
    async with balanced(pair) as (client, _):
        prompt = await client.get_prompt("letters:where", {"expected": ""})
        meta = {"hud/episode": prompt.meta["hud/episode"]}
        for number in range(2):
            mark = tmp_path / str(number)
            async with anyio.create_task_group() as tasks:
                call = {"file": str(mark)}
                tasks.start_soon(lambda call=call: client.call_tool("wait", call, meta=meta))
                with anyio.fail_after(60):
                    while not mark.exists():
                        await anyio.sleep(0.02)
                tasks.cancel_scope.cancel()
            with anyio.fail_after(60):
                while mark.read_text() != "stopped":
                    await anyio.sleep(0.02)


async def test_a_killed_replica_is_named_and_cleaned_up_after(folder):
    with replica(folder) as (one, process), replica(folder) as (two, _):
        async with Client(f"http://127.0.0.1:{two}/mcp") as client:
            async with Client(f"http://127.0.0.1:{one}/mcp") as first:
                prompt = await first.get_prompt("letters:where", {"expected": ""})
            meta = {"hud/episode": prompt.meta["hud/episode"]}
            assert (await client.call_tool("pid", {}, meta=meta)).content[0].text == str(process.pid)
            process.kill()
            process.wait()
            with pytest.raises(MCPError, match="the replica that held the episode is gone") as caught:
                await client.read_resource("letters:where", meta=meta)
            assert caught.value.error.data == {"hud/error": "BackendError"}
            assert len(list(Path(folder).iterdir())) == 2
            async with FolderStore(folder).joined(None):
                assert len(list(Path(folder).iterdir())) == 2  # what the killed one left is gone
            assert (await rollout(client, "still here", two))[2]["reward"] == 1.0


async def test_a_replica_that_is_killed_in_a_call_ends_the_call(folder, tmp_path):
    with replica(folder) as (one, process), replica(folder) as (two, _):
        async with Client(f"http://127.0.0.1:{one}/mcp") as first:
            prompt = await first.get_prompt("letters:where", {"expected": ""})
        async with Client(f"http://127.0.0.1:{two}/mcp") as client, anyio.create_task_group() as tasks:
            mark = tmp_path / "mark"

            async def kill():
                while not mark.exists():
                    await anyio.sleep(0.02)
                process.kill()

            tasks.start_soon(kill)
            meta = {"hud/episode": prompt.meta["hud/episode"]}
            with anyio.fail_after(60), pytest.raises(MCPError, match="the replica that holds the episode broke off"):
                await client.call_tool("wait", {"file": str(mark)}, meta=meta)


async def test_replicas_that_know_each_other_by_url(mode):
    ports = [free_port(), free_port()]
    urls = json.dumps({str(port): f"http://127.0.0.1:{port}/mcp" for port in ports})
    with replica(urls, ports[0]), replica(urls, ports[1]):
        async with balanced(ports, mode) as (client, turns):
            home, called, graded = await rollout(client, "by url", ports[0])
            assert called == {home}
            assert graded["reward"] == 1.0
            assert set(turns.asked) == set(ports)


async def test_a_giant_message_is_refused_before_it_is_read(folder):
    app = EnvironmentServer(serving.make_environment(), store=folder, max_body=2000).http_app(stateless=True)
    sent = []

    async def stream():
        for _ in range(1000):
            sent.append(b"x" * 1000)
            yield sent[-1]

    async with app.router.lifespan_context(app):
        received = []
        chunks = stream()

        async def receive():
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}

        async def send(message):
            received.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        await app(asgi_scope(headers), receive, send)
    assert received[0]["status"] == 413
    assert len(sent) <= 5


def asgi_scope(headers):
    return {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }


@pytest.mark.parametrize(
    "handle", ["../../etc/passwd.x", "0123456789abcdef.x", "a/b.x", "\x00.x", ".x", "x" * 5000 + ".y"]
)
async def test_a_handle_that_somebody_made_up_reaches_nobody(handle, folder):
    app = EnvironmentServer(serving.make_environment(), store=folder).http_app(stateless=True)
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call"}
    body["params"] = {"name": "add", "arguments": {"a": 1}, "_meta": {"hud/episode": handle}}
    async with app.router.lifespan_context(app):
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
            answer = await http.post("/mcp", json=body)
    assert answer.status_code == 200
    assert "is gone" in answer.text or "there is no episode" in answer.text


def test_a_folder_that_others_may_open_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)

    async def join():
        async with FolderStore(tmp_path / "open").joined(None):
            pass

    with pytest.raises(ConfigError, match="must be this user's alone: chmod 700"):
        anyio.run(join)


def test_a_folder_with_too_long_a_path_is_refused(tmp_path):
    async def join():
        async with FolderStore(tmp_path / ("x" * 100)).joined(None):
            pass

    with pytest.raises(ConfigError, match="too long a path for socket files"):
        anyio.run(join)


def test_a_store_is_for_stateless_servers(folder):
    with pytest.raises(ConfigError, match="serve with stateless=True"):
        Environment("x").http_app(store=folder)


def test_urls_name_every_replica():
    with pytest.raises(ConfigError, match="'c' is not among them"):
        UrlStore("c", {"a": "http://a/mcp"})
    with pytest.raises(ConfigError, match="'a/b' is no name of a replica"):
        UrlStore("a/b", {"a/b": "http://a/mcp"})
    assert UrlStore("a", {"a": "http://a/mcp"}).find("a") == Address(url="http://a/mcp")


def test_the_socket_is_this_users_alone(folder):
    async def join():
        store = FolderStore(folder)
        async with store.joined(None):
            address = store.find(store.replica)
            assert address.socket.stat().st_mode & 0o777 in (0o700, 0o755)
            assert Path(folder).stat().st_mode & 0o777 == 0o700
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(address.socket))
        assert store.find(store.replica) is None

    anyio.run(join)
