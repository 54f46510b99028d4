"""Scenarios of connected servers reach a server's clients as its own do: listed, set up, graded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp import Client, MCPError

from hud_core import Environment
from hud_core.model.task import EnvRef
from hud_mcp import wire
from hud_mcp.server import EnvironmentServer


def far() -> Environment:
    env = Environment("far")

    @env.tool
    def look() -> str:
        return f"{seen['n']} times"

    seen = {"n": 0}

    @env.scenario()
    async def count(text: str, times: int = 1):
        """Count something."""
        seen["n"] = times
        answer = yield f"{text} {times + 1}"
        yield answer == text

    return env


@pytest.fixture(params=["mcp", "here"])
def near(request: pytest.FixtureRequest) -> Environment:
    """An environment with nothing of its own, connected over MCP or to another of this process."""
    ref: Any = EnvRef("far", "mcp", {"object": far()}) if request.param == "mcp" else far()
    return Environment("near").connect(ref)


async def test_they_are_listed_with_their_arguments(near: Environment) -> None:
    async with Client(EnvironmentServer(near).lowlevel) as client:
        (prompt,) = (await client.list_prompts()).prompts
        resources = (await client.list_resources()).resources
    assert prompt.name == "far:count"
    assert "Count something." in prompt.description
    assert [(one.name, one.required) for one in prompt.arguments] == [("text", True), ("times", False)]
    assert [str(one.uri) for one in resources] == ["far:count"]


async def test_they_are_set_up_and_graded_there(near: Environment) -> None:
    async with Client(EnvironmentServer(near).lowlevel) as client:
        given = await client.get_prompt("far:count", {"text": "7", "times": "3"})
        assert given.messages[0].content.text == "7 4"
        meta = {wire.EPISODE: given.meta[wire.EPISODE]}
        assert (await client.call_tool("look", {}, meta=meta)).content[0].text == "3 times"
        await client.call_tool(wire.SUBMIT, {"scenario": "count", "answer": "7"}, meta=meta)
        (score,) = (await client.read_resource("far:count", meta=meta)).contents
    assert json.loads(score.text)["reward"] == 1.0


async def test_only_harnesses_know_of_them(near: Environment) -> None:
    async with Client(EnvironmentServer(near, harness="secret").lowlevel) as client:
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="unknown prompt 'far:count'"):
            await client.get_prompt("far:count", {"text": "7"})
        with pytest.raises(MCPError):
            await client.read_resource("far:count")


async def test_one_that_was_not_set_up_says_so(near: Environment) -> None:
    async with Client(EnvironmentServer(near).lowlevel) as client:
        with pytest.raises(MCPError, match="no episode of scenario 'far:count' is open"):
            await client.read_resource("far:count")
