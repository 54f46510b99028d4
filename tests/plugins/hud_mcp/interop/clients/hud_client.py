"""What hud-python 0.5.41 makes of scenarios on a server: ``hud_client.py URL CASES``, as JSON both ways."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import hud
from hud import Environment


async def reward(url: str, scenario: str, expected: Any, answer: Any) -> dict[str, Any]:
    env = Environment("client")
    env.connect_url(url)
    async with hud.eval(env(f"letters:{scenario}", expected=expected), trace=False, quiet=True) as ctx:
        result = await ctx.call_tool("add", a=2, b=3)
        tools = sorted(tool.name for tool in ctx.as_tools())
        prompt = ctx.prompt
        await ctx.submit(answer)
    return {"reward": ctx.reward, "prompt": prompt, "tools": tools, "sum": result.content[0].text}


async def main(url: str, cases: list[list[Any]]) -> list[dict[str, Any]]:
    return [await reward(url, *case) for case in cases]


sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))) + "\n")
