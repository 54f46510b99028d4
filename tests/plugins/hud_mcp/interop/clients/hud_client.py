"""What hud-python 0.5.41 makes of scenarios on a server: ``hud_client.py SERVER CASES``, as JSON both ways."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import hud
from hud import Environment


async def reward(server: dict[str, Any], scenario: str, expected: Any, answer: Any) -> dict[str, Any]:
    env = Environment("client")
    env.connect_mcp_config({"letters": server})
    async with hud.eval(env(f"letters:{scenario}", expected=expected), trace=False, quiet=True) as ctx:
        result = await ctx.call_tool("add", a=2, b=3)
        tools = sorted(tool.name for tool in ctx.as_tools())
        prompt = ctx.prompt
        await ctx.submit(answer)
    return {"reward": ctx.reward, "prompt": prompt, "tools": tools, "sum": result.content[0].text}


async def main(server: dict[str, Any], cases: list[list[Any]]) -> list[dict[str, Any]]:
    return [await reward(server, *case) for case in cases]


sys.stdout.write(json.dumps(asyncio.run(main(*map(json.loads, sys.argv[1:])))) + "\n")
