"""Serving as users write it: ``env.run()``, ``env.http_app()``, resources, prompts and routers."""

from __future__ import annotations

import json
import signal
import sys
from enum import StrEnum
from typing import Literal

import anyio
import mcp_types as types
import pytest
from mcp import Client, MCPError, StdioServerParameters

from hud.server import MCPRouter, MCPServer, resource_updated
from hud.server.router import HiddenRouter
from hud_core import Environment
from hud_core.errors import ConfigError, DefinitionError
from hud_core.model.content import ImageContent, Message, TextContent
from hud_mcp.server import EnvironmentServer

SCRIPT = '''
import sys
from pathlib import Path
from hud_core import Environment

env = Environment("letters")
print("printed before the server runs", file=sys.stderr)

@env.tool
def shout(text: str) -> str:
    """Say it louder."""
    print("printed by a tool")
    return text.upper()

@env.scenario()
async def count(word: str, letter: str = "r"):
    answer = yield f"How many {letter} in {word}?"
    yield answer == str(word.count(letter))

@env.shutdown
def down():
    Path(sys.argv[1]).write_text("shut down")

env.run()
'''


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


def connect(environment, mode):
    return Client(EnvironmentServer(environment).lowlevel, mode=mode)


# --- stdio ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "env.py"
    file.write_text(SCRIPT)
    return StdioServerParameters(command=sys.executable, args=[str(file), str(tmp_path / "mark")])


async def test_a_process_serves_its_one_client(mode, script, tmp_path):
    async with Client(script, mode=mode) as client:
        assert (await client.call_tool("shout", {"text": "hi"})).content[0].text == "HI"
        await client.get_prompt("letters:count", {"word": "arrr"})
        await client.call_tool("_hud_submit", {"scenario": "count", "answer": "3"})
        graded = await client.read_resource("letters:count")
        assert json.loads(graded.contents[0].text)["reward"] == 1.0
        await client.get_prompt("letters:count", {"word": "left open"})
    assert (tmp_path / "mark").read_text() == "shut down"


async def test_a_process_that_is_told_a_capability_asks_for_it(mode, script):
    script.env = {"HUD_MCP_HARNESS": "s3cret"}
    async with Client(script, mode=mode) as client:
        assert (await client.list_prompts()).prompts == []
        with pytest.raises(MCPError, match="unknown prompt"):
            await client.get_prompt("letters:count", {"word": "a"})
        shown = {"hud/harness": "s3cret"}
        prompt = await client.get_prompt("letters:count", {"word": "a"}, meta=shown)
        assert prompt.messages[0].content.text == "How many r in a?"


async def test_a_process_that_is_stopped_shuts_down(script, tmp_path):
    async with await anyio.open_process([script.command, *script.args], stderr=None) as process:
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
        await process.stdin.send(json.dumps({**hello, "params": client}).encode() + b"\n")
        assert b"serverInfo" in await process.stdout.receive()
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(60):
            assert await process.wait() == 0
    assert (tmp_path / "mark").read_text() == "shut down"


def test_an_unknown_transport_is_named():
    with pytest.raises(ConfigError, match="transport must be 'stdio' or 'http', got 'pigeon'"):
        Environment("x").run("pigeon")


def test_beyond_this_machine_a_token_is_needed():
    with pytest.raises(ConfigError, match="set a token"):
        Environment("x").serve(host="0.0.0.0")


# --- resources and prompts --------------------------------------------------------------------------------------------


def published():
    env = Environment("notes")

    @env.resource("notes://all", description="Every note.")
    def every():
        return {"notes": 2}

    @env.resource("notes://{folder}/{number}")
    async def note(folder: str, number: int):
        return f"{folder} {number + 1}"

    @env.resource("notes://picture", mime_type="image/png")
    def picture():
        return b"\x89PNG"

    @env.prompt
    def review(code: str, tone: str = "kind"):
        """Review code."""
        return f"Review {code}, {tone}."

    @env.prompt("look")
    async def seen():
        return [Message(role="assistant", content=(TextContent(text="See:"), ImageContent(data="AAA=")))]

    return env


async def test_resources_are_listed_and_read(mode):
    async with connect(published(), mode) as client:
        listed = {resource.uri: resource for resource in (await client.list_resources()).resources}
        templates = (await client.list_resource_templates()).resource_templates
        every = (await client.read_resource("notes://all")).contents[0]
        note = (await client.read_resource("notes://my%20home/6")).contents[0]
        picture = (await client.read_resource("notes://picture")).contents[0]
        with pytest.raises(MCPError, match="unknown resource 'notes://a/b/c'") as unknown:
            await client.read_resource("notes://a/b/c")
    assert unknown.value.error.data["uri"] == "notes://a/b/c"
    assert listed["notes://all"].description == "Every note."
    assert [template.uri_template for template in templates] == ["notes://{folder}/{number}"]
    assert (every.text, every.mime_type) == ('{"notes":2}', "application/json")
    assert (note.uri, note.text) == ("notes://my%20home/6", "my home 7")
    assert (picture.blob, picture.mime_type) == ("iVBORw==", "image/png")


async def test_prompts_are_listed_and_given(mode):
    async with connect(published(), mode) as client:
        listed = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        review = await client.get_prompt("review", {"code": "x = 1"})
        look = await client.get_prompt("look")
        with pytest.raises(MCPError, match="missing parameter 'code'"):
            await client.get_prompt("review")
    assert [(a.name, a.required) for a in listed["review"].arguments] == [("code", True), ("tone", False)]
    assert review.messages[0].content.text == "Review x = 1, kind."
    assert [(message.role, message.content.type) for message in look.messages] == [
        ("assistant", "text"),
        ("assistant", "image"),
    ]


def test_a_resource_must_have_the_parameters_of_its_function():
    with pytest.raises(DefinitionError, match="must have the parameters of its function: other"):

        @Environment("x").resource("notes://{name}")
        def note(other: str):
            return other


# --- routers ----------------------------------------------------------------------------------------------------------


def router():
    tools = MCPRouter("math")

    @tools.tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @tools.tool
    def _internal():
        return "internal"

    @tools.scenario()
    async def sum_up():
        answer = yield "1 + 1?"
        yield answer == "2"

    @tools.prompt
    def hint():
        return "Count."

    @tools.resource("math://pi")
    def pi():
        return "3.14"

    return tools


async def test_a_router_is_included(mode):
    env = MCPServer("all")
    env.include_router(router(), prefix="m")
    async with connect(env, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["m_add"]
        assert (await client.call_tool("m_add", {"a": 1, "b": 2})).content[0].text == "3"
        assert (await client.call_tool("_m_internal", {})).content[0].text == "internal"  # the harness may
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["m_hint", "all:sum_up"]
        assert (await client.read_resource("math://pi")).contents[0].text == "3.14"


async def test_a_hidden_router_is_one_tool(mode):
    env = Environment("all")
    env.include_router(router(), hidden=True)
    async with connect(env, mode) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "math"
        assert "add" in tool.description
        result = await client.call_tool("math", {"name": "add", "arguments": {"a": 2, "b": 2}})
        assert result.content[0].text == "4"
        assert (await client.call_tool("math", {"name": "nope"})).is_error
        assert (await client.call_tool("math", {"name": "_internal"})).is_error
        as_text = await client.call_tool("math", {"name": "add", "arguments": '{"a": 2, "b": 5}'})
        assert as_text.content[0].text == "7"
        broken = await client.call_tool("math", {"name": "add", "arguments": "a=2"})
        assert "must be an object, or its JSON text" in broken.content[0].text
        assert json.loads((await client.read_resource("math://functions")).contents[0].text) == ["add"]


async def test_a_router_is_hidden_by_its_class(mode):
    env = MCPServer("all")
    env.include_router(HiddenRouter(router(), name="sums"))
    async with connect(env, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["sums"]
        result = await client.call_tool("sums", {"name": "add", "arguments": {"a": 2, "b": 2}})
        assert result.content[0].text == "4"


async def test_a_router_of_routers(mode):
    outer, env = MCPRouter(), MCPServer(name="all")
    outer.include_router(router())
    env.include_router(outer)
    async with connect(env, mode) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).content[0].text == "3"
        meta = {"hud/episode": (await client.get_prompt("all:sum_up")).meta["hud/episode"]}
        await client.call_tool("_hud_submit", {"scenario": "sum_up", "answer": "2"}, meta=meta)
        graded = await client.read_resource("all:sum_up", meta=meta)
        assert json.loads(graded.contents[0].text)["reward"] == 1.0


async def test_a_server_as_it_is_written(mode):
    seen = []
    server = MCPServer("Deep Research", version="0.1.0", instructions="Search.")

    @server.initialize
    async def up(ctx):
        seen.append(ctx.meta.get("progressToken"))

    @server.initialize()
    def up_too():
        seen.append("too")

    @server.tool()
    async def search(query: str) -> dict:
        return {"found": query}

    async with connect(server, mode) as client:
        assert (client.server_info.name, client.server_info.version) == ("deep-research", "0.1.0")
        assert client.instructions == "Search."
        assert (await client.call_tool("search", {"query": "x"})).structured_content == {"found": "x"}
    assert seen == [None, "too"]


def test_a_router_whose_names_are_taken_is_refused():
    env = Environment("all")
    env.include_router(router())
    with pytest.raises(DefinitionError, match="already has a tool 'add'"):
        env.mount(router())


# --- suggestions and subscriptions ------------------------------------------------------------------------------------


class Tone(StrEnum):
    KIND = "kind"
    KEEN = "keen"
    STERN = "stern"


def suggesting():
    env = Environment("notes")

    @env.prompt
    def review(
        tone: Tone,
        level: Literal["low", 3],
        is_long: bool,
        code: str = "",
        other: Tone | None = None,
    ):
        return f"{tone} {level} {is_long} {code} {other}"

    @env.prompt
    def many(number: Literal[tuple(f"n{n}" for n in range(150))]):
        return number

    @env.resource("notes://{folder}/{name}")
    def note(folder: Literal["in", "out"], name: str):
        return f"{folder} {name}"

    @env.scenario()
    async def write(tone: Tone):
        yield tone
        yield 1.0

    @env.tool
    async def change(uri: str) -> str:
        await resource_updated(uri)
        return "changed"

    return env


@pytest.mark.parametrize(
    ("argument", "typed", "values"),
    [
        ("tone", "", ["keen", "kind", "stern"]),
        ("tone", "K", ["keen", "kind"]),
        ("tone", "x", []),
        ("level", "", ["3", "low"]),
        ("is_long", "t", ["true"]),
        ("code", "", []),
        ("other", "s", ["stern"]),
    ],
)
async def test_values_of_a_prompts_arguments_are_suggested(mode, argument, typed, values):
    async with connect(suggesting(), mode) as client:
        ref = types.PromptReference(name="review")
        found = (await client.complete(ref, {"name": argument, "value": typed})).completion
    assert (sorted(found.values), found.total, found.has_more) == (values, len(values), False)


async def test_values_of_scenarios_and_of_addresses_are_suggested(mode):
    async with connect(suggesting(), mode) as client:

        async def values(ref, name):
            return (await client.complete(ref, {"name": name, "value": ""})).completion

        assert len((await values(types.PromptReference(name="notes:write"), "tone")).values) == 3
        address = types.ResourceTemplateReference(uri="notes://{folder}/{name}")
        assert sorted((await values(address, "folder")).values) == ["in", "out"]
        many = await values(types.PromptReference(name="many"), "number")
        assert (len(many.values), many.total, many.has_more) == (100, 150, True)
        with pytest.raises(MCPError, match="unknown prompt 'nope'"):
            await values(types.PromptReference(name="nope"), "x")
        with pytest.raises(MCPError, match="unknown resource template 'notes://nope'"):
            await values(types.ResourceTemplateReference(uri="notes://nope"), "x")
        with pytest.raises(MCPError, match="no argument 'x'; there are folder, name"):
            await values(address, "x")


async def test_scenarios_are_not_suggested_without_the_capability(mode):
    server = EnvironmentServer(suggesting(), harness="s3cret")
    async with Client(server.lowlevel, mode=mode) as client:
        with pytest.raises(MCPError, match="unknown prompt 'notes:write'"):
            await client.complete(types.PromptReference(name="notes:write"), {"name": "tone", "value": ""})


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_subscribers_of_the_handshake_era_hear_of_a_change():
    heard = []

    async def keep(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(message.params.uri)

    server = EnvironmentServer(suggesting())
    async with Client(server.lowlevel, mode="legacy", message_handler=keep) as client:
        assert client.server_capabilities.resources.subscribe
        await client.subscribe_resource("notes://in/a")
        await client.call_tool("change", {"uri": "notes://in/a"})
        await client.call_tool("change", {"uri": "notes://in/b"})
        await server.resource_updated("notes://in/a")
        await client.unsubscribe_resource("notes://in/a")
        await client.call_tool("change", {"uri": "notes://in/a"})
        for number in range(1000):
            await client.subscribe_resource(f"notes://in/{number}")
        with pytest.raises(MCPError, match="may subscribe to 1000 resources at once"):
            await client.subscribe_resource("notes://one/more")
    assert heard == ["notes://in/a", "notes://in/a"]


async def test_subscribers_of_the_later_era_hear_of_a_change():
    server = EnvironmentServer(suggesting())
    async with (
        Client(server.lowlevel) as client,
        client.listen(resource_subscriptions=["notes://in/a"]) as changes,
    ):
        await client.call_tool("change", {"uri": "notes://in/b"})
        await client.call_tool("change", {"uri": "notes://in/a"})
        with anyio.fail_after(60):
            assert (await anext(aiter(changes))).uri == "notes://in/a"


async def test_a_change_where_nothing_is_served_is_nothing():
    assert (await suggesting().call_tool("change", uri="notes://in/a")).text == "changed"
