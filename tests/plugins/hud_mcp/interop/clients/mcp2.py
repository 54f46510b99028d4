"""What a client of mcp 2.x sees of the server that is given as JSON, in the mode that is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client import session
from mcp.types import ToolListChangedNotification

# A server that does not answer within ten seconds, its start included, is taken for an older one.
session.DISCOVER_TIMEOUT_SECONDS = 60.0


async def is_told(client: Client, told: asyncio.Event) -> bool:
    """Whether word of changes arrives: on a stream of its own by the newer protocol, beside the calls by the older."""
    if client.protocol_version >= "2026":
        async with client.listen(tools_list_changed=True) as events:
            await client.call_tool("reload", {})
            return (await asyncio.wait_for(anext(aiter(events)), 60)) is not None
    for _ in range(100):
        await client.call_tool("reload", {})
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(told.wait(), 0.1)
    return False


async def report(client: Client, told: asyncio.Event) -> dict[str, Any]:
    boom = await client.call_tool("boom", {})
    picture = (await client.call_tool("picture", {})).content[0]
    prompt = await client.get_prompt("letters:say", {"expected": "007"})
    meta: Any = {key: value for key, value in (prompt.meta or {}).items() if key == "hud/episode"}
    await client.call_tool("_hud_submit", {"scenario": "say", "answer": "007"}, meta=meta)
    graded = await client.read_resource("letters:say", meta=meta)
    return {
        "protocol": client.protocol_version,
        "tools": sorted(tool.name for tool in (await client.list_tools()).tools),
        "sum": (await client.call_tool("add", {"a": 2, "b": 3})).content[0].text,
        "error": [boom.is_error, boom.content[0].text],
        "picture": [picture.mime_type, picture.data],
        "prompts": sorted(prompt.name for prompt in (await client.list_prompts()).prompts),
        "prompt": prompt.messages[0].content.text,
        "resource": (await client.read_resource("letters://rules")).contents[0].text,
        "told": await is_told(client, told),
        "reward": json.loads(graded.contents[0].text)["reward"],
    }


async def main(target: dict[str, Any], mode: str) -> dict[str, Any]:
    told = asyncio.Event()

    async def listen(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    server = target.get("url") or StdioServerParameters(**target)
    async with Client(server, mode=mode, message_handler=listen) as client:
        return await report(client, told)


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2]))))
