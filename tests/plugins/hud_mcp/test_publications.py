"""Prompts and resources: an environment's own and those of its connections, by hand, in rollouts and served."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer

from hud_core import ConfigError, Environment, ToolError, run
from hud_core.model.content import ImageContent
from hud_core.testing import ScriptedAgent
from hud_mcp.server import EnvironmentServer

ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # where the loop makes no difference
SERVER = Path(__file__).parent / "servers" / "everything.py"


def notes(name: str = "notes") -> MCPServer:
    """Make a server of the SDK that publishes."""
    server = MCPServer(name, log_level="CRITICAL")

    @server.prompt(title="Summary")
    def summary(of: str, length: str = "short") -> str:
        """Sum something up."""
        return f"{name}: sum up {of}, {length}"

    @server.resource("note://today", mime_type="text/markdown")
    def today() -> str:
        return f"{name} today"

    @server.resource("note://{day}/{hour}")
    def hour(day: str, hour: str) -> str:
        if day == "never":
            raise ValueError("no such day")
        return f"{name} {day} {hour}"

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    return server


def near(*servers: MCPServer, **options: Any) -> Environment:
    env = Environment("near", **options)
    for server in servers:
        env.connect_server(server)

    @env.prompt(title="Own")
    def own(number: int) -> str:
        """Ask for a number."""
        return f"own {number}"

    @env.resource("own://{name}")
    def mine(name: str) -> dict[str, str]:
        return {"name": name}

    return env


async def prompts(env: Environment) -> list[str]:
    return [prompt.name for prompt in await env.list_prompts()]


async def text(env: Environment, uri: str) -> str:
    (part,) = await env.read_resource(uri)
    assert part.text is not None
    return part.text


# --- by hand ----------------------------------------------------------------------------------------------------------


async def test_an_environments_own_are_there_without_entering_it() -> None:
    env = near(notes())
    assert await prompts(env) == ["own"]
    assert (await env.get_prompt("own", {"number": 3})).text == "own 3"
    assert [one.uri for one in await env.list_resource_templates()] == ["own://{name}"]
    assert json.loads(await text(env, "own://me")) == {"name": "me"}
    assert await Environment("bare").list_prompts() == await Environment("bare").list_resources() == []


async def test_those_of_connections_are_there_too() -> None:
    env = near()
    env.connect_server(notes(), prefix="n")
    async with env:
        own, summary = await env.list_prompts()
        assert (own.name, own.arguments[0].name, own.title) == ("own", "number", "Own")
        assert (summary.name, summary.title, summary.description) == ("n_summary", "Summary", "Sum something up.")
        assert [(one.name, one.required) for one in summary.arguments] == [("of", True), ("length", False)]
        assert (await env.get_prompt("n_summary", {"of": "it"})).text == "notes: sum up it, short"
        (today,) = await env.list_resources()
        assert (today.uri, today.mime_type, today.mimeType) == ("note://today", "text/markdown", "text/markdown")
        assert [one.uri for one in await env.list_resource_templates()] == ["own://{name}", "note://{day}/{hour}"]
        assert await text(env, "note://today") == "notes today"
        assert await text(env, "note://monday/9") == "notes monday 9"
        assert json.loads(await text(env, "own://me")) == {"name": "me"}


async def test_what_is_not_there_or_refused_is_said() -> None:
    async with near(notes()) as env:
        with pytest.raises(ConfigError, match="unknown prompt 'sumary'; did you mean 'summary'"):
            await env.get_prompt("sumary")
        with pytest.raises(ConfigError, match=r"unknown resource 'note:/today'.*there are own://"):
            await env.read_resource("note:/today")
        with pytest.raises(ToolError, match="prompt 'summary' of MCP server 'notes'"):
            await env.get_prompt("summary")
        with pytest.raises(ToolError, match="'note://never/1' of MCP server 'notes'"):
            await env.read_resource("note://never/1")


@pytest.mark.parametrize(
    ("strategy", "names", "uris", "reached"),
    [
        ("prefix", ["own", "a_summary", "b_summary"], ["a+note://today", "b+note://today"], None),
        ("first_wins", ["own", "summary"], ["note://today"], "a"),
        ("last_wins", ["own", "summary"], ["note://today"], "b"),
    ],
)
async def test_conflicts_are_settled_as_for_tools(
    strategy: str, names: list[str], uris: list[str], reached: str | None
) -> None:
    async with near(notes("a"), notes("b"), conflict_resolution=strategy) as env:
        assert await prompts(env) == names
        assert [one.uri for one in await env.list_resources()] == uris
        if reached is None:
            assert (await env.get_prompt("b_summary", {"of": "it"})).text.startswith("b:")
            assert await text(env, "a+note://monday/9") == "a monday 9"
            assert await text(env, "b+note://today") == "b today"
        else:
            assert (await env.get_prompt("summary", {"of": "it"})).text.startswith(reached)
            assert await text(env, "note://monday/9") == f"{reached} monday 9"


async def test_conflicts_can_be_errors() -> None:
    env = Environment("near", conflict_resolution="error").connect_server(notes("a"), exclude=["add"])
    async with env.connect_server(notes("b")):
        with pytest.raises(ConfigError, match="prompt 'summary' is offered by the connections 'a' and 'b'"):
            await env.list_prompts()


async def test_an_environments_own_wins() -> None:
    env = near(notes(), conflict_resolution="first_wins")

    @env.prompt
    def summary() -> str:
        return "mine"

    @env.resource("note://today")
    def today() -> str:
        return "mine"

    async with env:
        assert await prompts(env) == ["own", "summary"]
        assert (await env.get_prompt("summary")).text == "mine"
        assert await text(env, "note://today") == "mine"


async def test_another_environments_are_joined() -> None:
    env = Environment("outer").connect_server(near(notes()), prefix="in")
    async with env:
        assert await prompts(env) == ["in_own", "in_summary"]
        assert (await env.get_prompt("in_summary", {"of": "x"})).text == "notes: sum up x, short"
        assert await text(env, "note://today") == "notes today"


# --- a real process ---------------------------------------------------------------------------------------------------


def far() -> Environment:
    return Environment("near").connect_mcp(
        {"far": {"command": sys.executable, "args": [str(SERVER), "stdio"]}}, prefix="far"
    )


@ON_ASYNCIO
async def test_a_process_is_asked_and_its_scenarios_stay_hidden() -> None:
    async with far() as env:
        assert await prompts(env) == ["far_greet"]
        greeting = await env.get_prompt("far_greet", {"who": "you"})
        assert [message.role for message in greeting.messages] == ["user", "assistant", "user"]
        assert isinstance(greeting.messages[2].content[0], ImageContent)
        assert [one.uri for one in await env.list_resources()] == ["note://pid"]
        (pixel,) = await env.read_resource("note://pixel/abc")
        assert base64.b64decode(pixel.data or "") == b"abc"
        for name in ("everything:count", "far_everything:count"):
            with pytest.raises(ConfigError, match="unknown prompt"):
                await env.get_prompt(name, {"word": "w"})
        with pytest.raises(ConfigError, match="unknown resource 'everything:count'"):
            await env.read_resource("everything:count")


@ON_ASYNCIO
@pytest.mark.slow
async def test_a_process_that_died_is_asked_again() -> None:
    async with far() as env:
        first = await text(env, "note://pid")
        os.kill(int(first), signal.SIGKILL)
        with anyio.fail_after(60):
            assert await text(env, "note://pid") != first


@ON_ASYNCIO
async def test_scenario_code_reads_what_its_rollout_is_connected_to() -> None:
    env = far()

    @env.scenario(exclude_sources=["far"])
    async def ask():
        pid, tool = await text(env, "note://pid"), await env.call_tool("far_process")
        answer = yield await env.get_prompt("far_greet", {"who": "you"})
        assert await text(env, "note://pid") == pid == tool.text
        yield float(answer == "hello")

    (rollout,) = (await run(env("ask"), ScriptedAgent(answer="hello"), save=False)).rollouts
    assert (rollout.error, rollout.reward) == (None, 1.0)


# --- served -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_are_given_them(mode: str) -> None:
    env = near(notes())

    @env.scenario(exclude_sources=["notes"])
    async def closed():
        yield await text(env, "note://today")
        yield 1.0

    async with Client(EnvironmentServer(env).lowlevel, mode=mode, cache=None) as client:
        listed = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in listed] == ["own", "near:closed", "summary"]
        assert (listed[-1].title, [one.required for one in listed[-1].arguments]) == ("Summary", [True, False])
        given = await client.get_prompt("summary", {"of": "it"})
        assert given.messages[0].content.text == "notes: sum up it, short"
        uris = [resource.uri for resource in (await client.list_resources()).resources]
        assert uris == ["near:closed", "note://today"]
        templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        assert templates == ["own://{name}", "note://{day}/{hour}"]
        (part,) = (await client.read_resource("note://today")).contents
        assert (part.text, part.mime_type) == ("notes today", "text/markdown")
        assert (await client.read_resource("note://monday/9")).contents[0].text == "notes monday 9"
        for ref in (
            types.PromptReference(name="summary"),
            types.ResourceTemplateReference(uri="note://{day}/{hour}"),
        ):
            suggested = await client.complete(ref, {"name": "day", "value": "m"})
            assert suggested.completion.values == []
        with pytest.raises(MCPError, match="unknown prompt 'nix'; there are own, near:closed, summary"):
            await client.get_prompt("nix")
        with pytest.raises(MCPError, match="'note://never/1'"):
            await client.read_resource("note://never/1")
        # In an episode that hides the connection, its client is shown nothing of it; scenario code reads on.
        setup = await client.get_prompt("near:closed")
        assert setup.messages[0].content.text == "notes today"
        meta = {"hud/episode": setup.meta["hud/episode"]}
        assert [p.name for p in (await client.list_prompts(meta=meta)).prompts] == ["own", "near:closed"]
        with pytest.raises(MCPError, match="unknown resource"):
            await client.read_resource("note://today", meta=meta)


@pytest.mark.slow
def test_analyze_shows_what_an_environment_is_connected_to(tmp_path: Path) -> None:
    server = {"far": {"command": sys.executable, "args": [str(SERVER), "stdio"]}}
    code = f"from hud import Environment\n\nenv = Environment('near').connect_mcp({server!r}, prefix='far')\n"
    (tmp_path / "joined_env.py").write_text(code, "utf-8")
    command = [sys.executable, "-m", "hud", "analyze", "joined_env:env", "--format", "json"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(shown.stdout)
    assert "far_add" in [tool["name"] for tool in found["tools"]]
    assert [prompt["name"] for prompt in found["prompts"]] == ["far_greet"]
    assert found["prompts"][0]["arguments"] == [{"name": "who", "required": True}]
    assert [resource["uri"] for resource in found["resources"]] == ["note://pid"]
    assert [template["uri"] for template in found["templates"]] == ["note://pixel/{name}"]
