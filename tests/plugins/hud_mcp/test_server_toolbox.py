"""A toolbox that is served to a program: its tools and nothing else, for as long as a block lasts."""

from __future__ import annotations

import contextvars
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from hud_core import Environment
from hud_core.environment.session import Toolbox, ToolFilter
from hud_core.errors import BackendError, ConfigError
from hud_mcp import serve_toolbox

pytestmark = pytest.mark.slow  # each starts a server, and waits for its end

PATIENCE = 60.0
rollout = contextvars.ContextVar("rollout", default="none")


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


def make_environment(log=None):
    log = [] if log is None else log
    env = Environment("letters")

    @env.tool
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @env.tool
    async def boom() -> str:
        raise RuntimeError("the tool broke")

    @env.tool
    async def whose() -> str:
        return rollout.get()

    @env.tool
    async def wait() -> str:
        log.append("waiting")
        try:
            await anyio.sleep_forever()
        finally:
            log.append("no longer waiting")

    @env.scenario()
    async def count(word: str):
        answer = yield word
        yield answer == "1"

    return env


def toolbox_of(env, **options):
    return Toolbox(env.session().tools, **options)


@asynccontextmanager
async def client_of(address, mode="auto"):
    async with (
        httpx2.AsyncClient(headers=address.headers) as http,
        Client(streamable_http_client(address.url, http_client=http), mode=mode) as client,
    ):
        yield client


async def test_a_program_calls_the_tools_that_the_toolbox_shows(mode):
    seen = []
    shown = ToolFilter(disallowed=["boom"])
    toolbox = toolbox_of(make_environment(), shown=shown, observe=lambda call, result: seen.append((call, result)))
    async with serve_toolbox(toolbox, name="letters") as address, client_of(address, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "whose", "wait"]
        result = await client.call_tool("add", {"a": 1, "b": 5})
        assert (result.content[0].text, result.is_error) == ("6", False)
        result = await client.call_tool("boom", {})
        assert result.is_error
        assert result.content[0].text == "unknown tool 'boom'; there are add, whose, wait"
    assert [call.name for call, result in seen if result is None] == ["add", "boom"]
    ids = [call.id for call, result in seen if result is None]
    assert ids == [result.call_id for _, result in seen if result is not None]
    assert len(set(ids)) == 2


async def test_nothing_but_tools_is_there(mode):
    async with serve_toolbox(toolbox_of(make_environment())) as address, client_of(address, mode) as client:
        assert client.server_capabilities.prompts is None
        assert client.server_capabilities.resources is None
        with pytest.raises(MCPError, match="not found"):
            await client.get_prompt("letters:count", {"word": "moon"})
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource("letters:count")
        result = await client.call_tool("_hud_submit", {"scenario": "count", "answer": "1"})
        assert result.is_error
        assert result.content[0].text.startswith("unknown tool '_hud_submit'")


async def test_a_tool_that_fails_is_a_result(mode):
    async with serve_toolbox(toolbox_of(make_environment())) as address, client_of(address, mode) as client:
        result = await client.call_tool("boom", {})
        assert result.is_error
        assert "the tool broke" in result.content[0].text


async def test_tools_run_in_the_context_of_the_rollout(mode):
    rollout.set("this one")
    async with serve_toolbox(toolbox_of(make_environment())) as address, client_of(address, mode) as client:
        assert (await client.call_tool("whose", {})).content[0].text == "this one"


async def test_a_client_that_starts_its_servers_has_a_command(mode):
    async with serve_toolbox(toolbox_of(make_environment())) as address:
        assert address.token not in " ".join(address.command)
        program, *args = address.command
        server = StdioServerParameters(command=program, args=args, env=address.environment)
        async with Client(server, mode=mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "boom", "whose", "wait"]
            assert (await client.call_tool("add", {"a": 1, "b": 5})).content[0].text == "6"
            assert (await client.call_tool("boom", {})).is_error


@pytest.mark.parametrize("headers", [{"accept": "*/*"}, {"authorization": "Bearer guessed"}])
async def test_who_does_not_show_the_token_is_refused(headers):
    async with serve_toolbox(toolbox_of(make_environment())) as address, httpx2.AsyncClient() as http:
        assert address.token not in repr(address)
        assert (await http.post(address.url, json={}, headers=headers)).status_code == 401


async def test_two_toolboxes_have_addresses_of_their_own():
    async with (
        serve_toolbox(toolbox_of(make_environment())) as one,
        serve_toolbox(toolbox_of(make_environment())) as two,
        httpx2.AsyncClient() as http,
    ):
        assert one.url != two.url
        assert (await http.post(one.url, json={}, headers=two.headers)).status_code == 401


async def test_the_address_ends_with_the_block_and_calls_under_way_with_it(mode):
    ended = anyio.Event()

    async def call(client):
        with pytest.raises((MCPError, httpx2.TransportError)):
            await client.call_tool("wait", {})
        ended.set()

    log = []
    async with anyio.create_task_group() as tasks:
        async with serve_toolbox(toolbox_of(make_environment(log))) as address:
            client = await tasks.start(held, address, mode)
            tasks.start_soon(call, client)
            with anyio.fail_after(PATIENCE):
                while not log:
                    await anyio.sleep(0.01)
        assert log == ["waiting", "no longer waiting"]
        with anyio.fail_after(PATIENCE):
            await ended.wait()
        async with httpx2.AsyncClient() as http:
            with pytest.raises(httpx2.ConnectError):
                await http.post(address.url, json={}, headers=address.headers)
        tasks.cancel_scope.cancel()


async def held(address, mode, *, task_status):
    async with client_of(address, mode) as client:
        task_status.started(client)
        await anyio.sleep_forever()


class Lost:
    """Tools of an environment that is gone."""

    async def list_tools(self):
        return []

    async def call_tool(self, call):
        raise BackendError("the environment is gone")


async def test_an_environment_that_breaks_ends_the_block(mode):
    async def call(address):
        async with client_of(address, mode) as client:
            with pytest.raises((MCPError, httpx2.TransportError)):
                await client.call_tool("add", {})

    async def serve(tasks):
        async with serve_toolbox(Toolbox(Lost())) as address:
            tasks.start_soon(call, address)
            await anyio.sleep(PATIENCE)

    async with anyio.create_task_group() as tasks:
        with pytest.raises(BackendError, match=r"^the environment is gone$"):
            await serve(tasks)


async def test_what_is_raised_in_the_block_is_raised_as_it_is():
    cause = ValueError("why")
    with pytest.raises(KeyError) as caught:
        async with serve_toolbox(toolbox_of(make_environment())):
            raise KeyError("mine") from cause
    assert caught.value.__cause__ is cause


async def test_a_rollout_that_is_cancelled_leaves_nothing():
    with anyio.CancelScope() as scope:
        async with serve_toolbox(toolbox_of(make_environment())) as address:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    async with httpx2.AsyncClient() as http:
        with pytest.raises(httpx2.ConnectError):
            await http.post(address.url, json={}, headers=address.headers)


def test_on_another_event_loop_it_says_what_it_needs():
    async def serve():
        async with serve_toolbox(toolbox_of(make_environment())):
            await anyio.sleep(PATIENCE)

    with pytest.raises(ConfigError, match="needs asyncio's event loop"):
        anyio.run(serve, backend="trio")


def test_a_bridge_without_its_token_says_how_it_is_used():
    done = subprocess.run(
        [sys.executable, "-m", "hud_mcp.bridge", "http://127.0.0.1:9/mcp"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "usage: HUD_MCP_TOKEN=TOKEN python -m hud_mcp.bridge URL\n"
