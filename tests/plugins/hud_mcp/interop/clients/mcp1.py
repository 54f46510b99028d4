"""What a client of mcp 1.x sees of the server that is given as JSON; it prints its report as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl


async def report(session: ClientSession) -> dict[str, Any]:
    hello = await session.initialize()
    boom = await session.call_tool("boom", {})
    picture = (await session.call_tool("picture", {})).content[0]
    prompt = await session.get_prompt("letters:say", {"expected": "007"})
    await session.call_tool("_hud_submit", {"scenario": "say", "answer": "007"})
    graded = await session.read_resource(AnyUrl("letters:say"))
    return {
        "protocol": hello.protocolVersion,
        "tools": sorted(tool.name for tool in (await session.list_tools()).tools),
        "sum": (await session.call_tool("add", {"a": 2, "b": 3})).content[0].text,
        "error": [boom.isError, boom.content[0].text],
        "picture": [picture.mimeType, picture.data],
        "prompts": sorted(prompt.name for prompt in (await session.list_prompts()).prompts),
        "prompt": prompt.messages[0].content.text,
        "reward": json.loads(graded.contents[0].text)["reward"],
    }


async def main(target: dict[str, Any]) -> dict[str, Any]:
    opened = streamablehttp_client(target["url"]) if "url" in target else stdio_client(StdioServerParameters(**target))
    async with opened as (read, write, *_), ClientSession(read, write) as session:
        return await report(session)


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
