"""The address of one episode, for its agent: what is there, what is not, and when it ends."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from raw_client import INITIALIZE
from serving import Log, make_environment, over_http

from hud_core import Environment
from hud_mcp.server import EnvironmentServer
from hud_mcp.wire import AGENT, EPISODE, episode_url

pytestmark = pytest.mark.slow  # each starts a server, and waits for its end

SHOWN = ["add", "gallery"]
"""What `quiet` leaves of the tools."""
ENDED = "the address of one episode, which has ended"


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


async def set_up(harness, url, scenario="quiet", arguments=None, meta=None):
    """Set an episode up; give its handle and its address."""
    prompt = await harness.get_prompt(f"letters:{scenario}", arguments, meta=meta)
    return prompt.meta[EPISODE], episode_url(url, prompt.meta[AGENT])


async def grade(harness, handle, scenario="quiet", answer=""):
    meta = {EPISODE: handle}
    await harness.call_tool("_hud_submit", {"scenario": scenario, "answer": answer}, meta=meta)
    graded = await harness.read_resource(f"letters:{scenario}", meta=meta)
    return json.loads(graded.contents[0].text)["reward"]


async def names(client):
    return [tool.name for tool in (await client.list_tools()).tools]


async def refused(address, mode):
    with pytest.RaisesGroup(pytest.RaisesExc(MCPError, match=ENDED), flatten_subgroups=True):
        async with Client(address, mode=mode):
            pass


@asynccontextmanager
async def episode(scenario="quiet", env=None, **options):
    async with over_http(EnvironmentServer(env or make_environment(), **options)) as url, Client(url) as harness:
        handle, address = await set_up(harness, url, scenario)
        yield harness, handle, address


async def test_a_client_that_says_nothing_acts_in_the_episode(mode):
    async with episode() as (harness, handle, address), Client(address, mode=mode) as agent:
        assert await names(agent) == SHOWN
        assert (await agent.call_tool("add", {"a": 2})).content[0].text == "3"
        result = await agent.call_tool("boom", {})
        assert result.is_error
        assert result.content[0].text == "unknown tool 'boom'; there are add, gallery"
        assert "boom" in await names(harness)
        assert await grade(harness, handle) == 1.0


async def test_each_address_is_of_its_own_episode(mode):
    async with episode() as (harness, _, quiet):
        url = quiet.partition("/episode/")[0]
        _, loud = await set_up(harness, url, "echo", {"expected": "x"})
        async with Client(quiet, mode=mode) as one, Client(loud, mode=mode) as two:
            assert await names(one) == SHOWN
            assert "boom" in await names(two)


async def test_nobody_is_a_harness_there(mode):
    """Neither with the episode's handle nor with the capability."""
    env = make_environment()
    async with over_http(EnvironmentServer(env, harness="secret")) as url, Client(url) as harness:
        handle, address = await set_up(harness, url, meta={"hud/harness": "secret"})
        meta = {"hud/harness": "secret", EPISODE: handle}
        async with Client(address, mode=mode) as agent:
            assert (await agent.list_prompts(meta=meta)).prompts == []
            assert (await agent.list_resources(meta=meta)).resources == []
            with pytest.raises(MCPError, match="unknown prompt 'letters:echo'"):
                await agent.get_prompt("letters:echo", {"expected": "x"}, meta=meta)
            with pytest.raises(MCPError, match="unknown resource 'letters:quiet'"):
                await agent.read_resource("letters:quiet", meta=meta)
            for tool in ("_hud_submit", "_secret"):
                result = await agent.call_tool(tool, {"scenario": "quiet", "answer": ""}, meta=meta)
                assert result.content[0].text == f"unknown tool '{tool}'; there are add, gallery"


async def test_the_token_is_no_handle():
    async with episode() as (harness, handle, address):
        token = address.rpartition("/")[2]
        assert token != handle
        with pytest.raises(MCPError, match="there is no episode"):
            await harness.read_resource("letters:quiet", meta={EPISODE: token})
        await refused(address.replace(token, handle), "auto")


async def test_what_the_environment_publishes_is_there(mode):
    env = make_environment()

    @env.resource("note://1")
    def note() -> str:
        return "a note"

    @env.prompt
    def greet() -> str:
        return "Hello."

    async with episode(env=env) as (_, _, address), Client(address, mode=mode) as agent:
        assert [prompt.name for prompt in (await agent.list_prompts()).prompts] == ["greet"]
        assert [resource.uri for resource in (await agent.list_resources()).resources] == ["note://1"]
        assert (await agent.read_resource("note://1")).contents[0].text == "a note"


async def test_it_ends_with_the_episode(mode):
    log = Log()
    async with episode(env=make_environment(log)) as (harness, handle, address):
        async with Client(address, mode=mode) as agent:
            await grade(harness, handle)
            with pytest.raises(MCPError, match=ENDED):
                await agent.list_tools()
            with pytest.raises(MCPError, match=ENDED):
                await agent.call_tool("add", {"a": 1})
        await refused(address, mode)


async def test_the_agent_that_leaves_ends_nothing(mode):
    async with episode() as (harness, handle, address):
        async with Client(address, mode=mode) as agent:
            await agent.list_tools()
        assert await grade(harness, handle) == 1.0


async def test_it_stays_with_the_environment_that_it_began_with(mode):
    server = EnvironmentServer(make_environment())
    async with over_http(server) as url, Client(url) as harness:
        _, address = await set_up(harness, url)
        async with Client(address, mode=mode) as agent:
            await server.replace(Environment("letters"))
            assert await names(agent) == SHOWN
            assert await names(harness) == []


async def test_it_needs_no_bearer_token_and_checks_the_host_all_the_same():
    server = EnvironmentServer(make_environment(), token="t0ken")
    async with over_http(server) as url, httpx2.AsyncClient(headers={"authorization": "Bearer t0ken"}) as http:
        async with Client(streamable_http_client(url, http_client=http)) as harness:
            _, address = await set_up(harness, url)
            async with Client(address) as agent:
                assert await names(agent) == SHOWN
        async with httpx2.AsyncClient() as stranger:
            assert (await stranger.post(url)).status_code == 401
            assert (await stranger.post(address, headers={"host": "evil.example"})).status_code == 421
            assert (await stranger.post(address, headers={"origin": "https://evil.example"})).status_code == 403


async def test_who_guesses_an_address_opens_no_session():
    async with over_http(EnvironmentServer(make_environment(), token="t0ken", max_sessions=1)) as url:
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        async with httpx2.AsyncClient(headers=headers) as stranger:
            for _ in range(3):
                answer = await stranger.post(episode_url(url, "guessed"), json=INITIALIZE)
                assert answer.status_code == 404
                assert ENDED in answer.json()["error"]["message"]
            answer = await stranger.post(url, json=INITIALIZE, headers={"authorization": "Bearer t0ken"})
            assert answer.status_code == 200  # there is room


async def test_where_there_is_no_http_there_is_no_address(mode):
    async with Client(EnvironmentServer(make_environment()).lowlevel, mode=mode) as harness:
        assert AGENT not in (await harness.get_prompt("letters:quiet")).meta


def test_an_address_keeps_what_its_server_has():
    assert episode_url("http://127.0.0.1/mcp/?team=a", "t") == "http://127.0.0.1/mcp/episode/t?team=a"
