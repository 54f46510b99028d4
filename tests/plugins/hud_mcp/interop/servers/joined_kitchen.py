"""Joins a FastMCP object to an environment, and reports what came of it."""

from __future__ import annotations

import json

import anyio
from kitchen import mcp

from hud import Environment, run

env = Environment("home").connect_server(mcp, prefix="kitchen")


@env.scenario()
async def ask(n: int):
    twice = await env.call_tool("kitchen_double", n=n)
    answer = yield f"What is twice {n}?"
    yield answer == twice.text


async def main() -> None:
    async with env:
        tools = [tool.name for tool in env.as_tools()]
        result = await env.call_tool("kitchen_double", n=4)
    task = env("ask", n=3)
    task.answer = "6"
    job = await run(task, "oracle", save=False)
    print(json.dumps({"tools": tools, "result": result.text, "rewards": [rollout.reward for rollout in job]}))


anyio.run(main)
