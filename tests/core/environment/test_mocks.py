"""Mocked tools: their results, errors and sequences, and that nothing runs."""

from __future__ import annotations

from typing import Any

import far_away
import pytest

from hud_core import Cause, DefinitionError, Environment, ToolError, run
from hud_core.job.fingerprint import Fingerprints
from hud_core.testing import ScriptedAgent


@pytest.fixture
def env() -> Environment:
    env = Environment("near")

    @env.tool
    def delete(path: str) -> str:
        raise AssertionError("it ran")

    @env.tool
    def list_files() -> list[str]:
        raise AssertionError("it ran")

    @env.tool
    def real() -> str:
        return "real"

    @env.scenario()
    async def ask():
        yield (await env.call_tool("real")).text
        yield 1.0

    return env


async def test_one_tool_is_mocked_and_the_others_run(env: Environment) -> None:
    assert not env.is_mock
    assert env.mock_tool("delete", {"deleted": True}) is env
    result = await env.call_tool("delete", path="x")
    assert (result.structured_content, env.is_mock) == ({"deleted": True}, True)
    assert (await env.call_tool("real")).text == "real"


async def test_every_tool_is_mocked_with_what_suits_its_name(env: Environment) -> None:
    env.mock(enable=True).mock_tool("delete", "gone")
    assert [(await env.call_tool(name)).text for name in ("list_files", "real")] == ["[]", "mock_success"]
    assert (await env.call_tool("delete", path="x")).text == "gone"


async def test_mocks_can_be_errors_and_sequences(env: Environment) -> None:
    env.mock_tool("list_files", error="disk full").mock_tool("delete", sequence=["first", OSError("busy"), None])
    with pytest.raises(ToolError, match="disk full"):
        await env.call_tool("list_files")
    assert (await env.call_tool("delete", path="x")).text == "first"
    with pytest.raises(ToolError, match="OSError: busy"):
        await env.call_tool("delete", path="x")
    for _ in range(2):  # the last one stays
        assert not (await env.call_tool("delete", path="x")).is_error


async def test_arguments_are_checked_all_the_same(env: Environment) -> None:
    env.mock()
    with pytest.raises(ToolError, match="path"):
        await env.call_tool("delete")
    with pytest.raises(ToolError, match="unknown tool 'dlete'"):
        await env.call_tool("dlete")


@pytest.mark.parametrize("undo", [lambda env: env.unmock(), lambda env: env.mock(enable=False)])
async def test_unmocked_tools_run_again(env: Environment, undo: Any) -> None:
    env.mock_tool("real", "fake")
    assert (await env.call_tool("real")).text == "fake"
    assert undo(env) is env
    assert not env.is_mock
    assert (await env.call_tool("real")).text == "real"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda env: env.mock_tool("dlete", 1), "no tool 'dlete' to mock; did you mean 'delete'"),
        (lambda env: env.mock_tool("delete"), "takes one of an output, error= and sequence="),
        (lambda env: env.mock_tool("delete", 1, error="x"), "takes one of"),
        (lambda env: env.mock_tool("delete", sequence=[]), "takes one of"),
    ],
)
def test_a_mock_that_is_wrong_is_refused(env: Environment, how: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        how(env)


async def test_each_rollout_begins_its_sequences_anew(env: Environment) -> None:
    env.mock_tool("real", sequence=["one", "two", "three"])
    agent = ScriptedAgent([("real", {})])
    job = await run([env("ask")] * 3, agent, kernel=far_away.far_kernel(), save=False)
    assert [rollout.reward for rollout in job] == [1.0] * 3
    assert [result.text for result in agent.results] == ["two"] * 3  # the scenario had the first


async def test_connected_tools_are_mocked_too() -> None:
    server = far_away.Server("far", "get_it")
    env = far_away.connected_to(a=server).mock().mock_tool("far", "mocked")

    @env.scenario()
    async def ask():
        yield "?"
        yield 1.0

    agent = ScriptedAgent([("far", {}), ("get_it", {}), ("nope", {})])
    await run(env("ask"), agent, kernel=far_away.far_kernel(), save=False)
    assert [result.text for result in agent.results][:2] == ["mocked", "[]"]
    assert agent.results[2].is_error
    assert server.calls == []


async def test_a_mocked_tool_that_no_connection_has_is_told_when_they_are_open() -> None:
    env = far_away.connected_to(a=far_away.Server("far")).mock_tool("fra", "mocked")

    @env.scenario()
    async def ask():
        yield "?"
        yield 1.0

    (rollout,) = (await run(env("ask"), ScriptedAgent(), kernel=far_away.far_kernel(), save=False)).rollouts
    assert rollout.cause is Cause.BACKEND
    assert "no tool 'fra' to mock; did you mean 'far'" in rollout.error


async def test_mocks_may_change_while_the_environment_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hud_core.job.backends.Kernel", far_away.far_kernel)
    env = far_away.connected_to(a=far_away.Server("far"))
    async with env:
        env.mock_tool("far", "mocked")
        assert (await env.call_tool("far")).text == "mocked"
        env.unmock()
        assert (await env.call_tool("far")).text == "far:{}"


def test_a_fingerprint_tells_mocks_apart(env: Environment) -> None:
    def now() -> str | None:
        return Fingerprints().of(env("ask"), ScriptedAgent()).environment

    seen = [now()]
    for change in (env.mock, lambda: env.mock_tool("real", 1), lambda: env.mock_tool("real", 2)):
        change()
        seen.append(now())
    assert len(set(seen)) == 4
    env.unmock()
    assert now() == seen[0]
