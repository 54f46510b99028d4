"""FastAPI apps that environments are connected to: started once for all who use them, as a server would."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import anyio
import fastapi
import pytest
from mcp import Client

from hud_core import Cause, Environment, Retries, evaluate, run
from hud_core.testing import ScriptedAgent
from hud_mcp.server import EnvironmentServer


def shop(log: list[str], failures: int = 0) -> fastapi.FastAPI:
    """Make an app that counts what it sells, and holds a task group open while it lives."""

    @asynccontextmanager
    async def lifespan(_: Any):
        log.append("start")
        if len(log) <= failures:
            raise RuntimeError("no stock today")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            yield {"sold": []}
            tasks.cancel_scope.cancel()
        log.append("stop")

    app = fastapi.FastAPI(title="shop", lifespan=lifespan)

    @app.post("/sell", operation_id="sell")
    async def sell(request: fastapi.Request) -> int:
        request.state.sold.append(1)
        return len(request.state.sold)

    return app


def selling(app: fastapi.FastAPI) -> Environment:
    env = Environment("near").connect_fastapi(app)

    @env.scenario()
    async def ask(number: int = 0):
        await env.call_tool("sell")
        yield "?"
        yield 1.0

    return env


async def test_a_job_starts_it_once() -> None:
    log: list[str] = []
    env = selling(shop(log))
    agent = ScriptedAgent([("sell", {})])
    job = await run([env("ask", number=number) for number in range(3)], agent, save=False)
    assert [rollout.reward for rollout in job] == [1.0, 1.0, 1.0]
    assert log == ["start", "stop"]
    assert max(int(result.text) for result in agent.results) == 6


async def test_a_server_starts_it_once_for_all_its_episodes() -> None:
    log: list[str] = []
    async with Client(EnvironmentServer(selling(shop(log))).lowlevel) as client:
        assert (await client.call_tool("sell", {})).content[0].text == "1"
        for _ in range(2):
            prompt = await client.get_prompt("near:ask")
            meta = {"hud/episode": prompt.meta["hud/episode"]}
            assert (await client.read_resource("near:ask", meta=meta)).contents
        assert (await client.call_tool("sell", {})).content[0].text == "4"
        assert log == ["start"]
    assert log == ["start", "stop"]


async def test_by_hand_it_lives_as_long_as_the_environment_is_entered() -> None:
    log: list[str] = []
    env = selling(shop(log))
    for _ in range(2):
        async with env:
            assert (await env.call_tool("sell")).text == "1"
    async with evaluate(env("ask")) as ctx:
        assert (await ctx.call_tool("sell")).text == "2"
        await ctx.submit("")
    assert log == ["start", "stop"] * 3


async def test_one_that_does_not_start_is_tried_again() -> None:
    log: list[str] = []
    env = selling(shop(log, failures=1))
    job = await run(env("ask"), ScriptedAgent(), save=False, retries=Retries(attempts=2, delay=0.01))
    (rollout,) = job.rollouts
    assert rollout.reward == 1.0
    assert (rollout.attempts[0].cause, log) == (Cause.BACKEND, ["start", "start", "stop"])
    assert "no stock today" in rollout.attempts[0].error


async def test_a_job_that_is_cancelled_shuts_it_down() -> None:
    log: list[str] = []
    env = selling(shop(log))

    @env.scenario()
    async def long():
        try:
            log.append("setting up")
            yield await anyio.sleep_forever()
        finally:
            log.append((await env.call_tool("sell")).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run(env("long"), ScriptedAgent(), save=False))
        with anyio.fail_after(60):
            while "setting up" not in log:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert log == ["start", "setting up", "1", "stop"]


async def test_an_exception_of_the_user_comes_out_as_it_is() -> None:
    env = selling(shop([]))
    with pytest.raises(KeyError, match="mine"):
        async with evaluate(env("ask")):
            raise KeyError("mine")
