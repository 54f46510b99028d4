"""What a client of mcp 1.x sees of the server that is given as JSON; it prints its report as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import ToolListChangedNotification
from pydantic import AnyUrl


async def is_told(session: ClientSession, told: asyncio.Event) -> bool:
    """Whether word of changes arrives; on HTTP it takes a stream that the client opens beside its calls."""
    for _ in range(100):
        await session.call_tool("reload", {})
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(told.wait(), 0.1)
    return False


async def report(session: ClientSession, told: asyncio.Event) -> dict[str, Any]:
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
        "resource": (await session.read_resource(AnyUrl("letters://rules"))).contents[0].text,
        "told": await is_told(session, told),
        "reward": json.loads(graded.contents[0].text)["reward"],
    }


async def main(target: dict[str, Any]) -> dict[str, Any]:
    opened = streamablehttp_client(target["url"]) if "url" in target else stdio_client(StdioServerParameters(**target))
    told = asyncio.Event()

    async def listen(message: Any) -> None:
        if isinstance(getattr(message, "root", None), ToolListChangedNotification):
            told.set()

    reports = []
    try:
        async with opened as (read, write, *_), ClientSession(read, write, message_handler=listen) as session:
            reports.append(await report(session, told))
    except* anyio.BrokenResourceError:
        pass  # from the SDK, where more word of a change arrives over stdio while it closes
    return reports[0]


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
