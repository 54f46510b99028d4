"""What a client of fastmcp 3 or 4 sees of the server that is given as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

# fastmcp 4 is built on mcp 2, which renamed what mcp 1 calls as the wire does.
MIME_TYPE = "mimeType" if version("fastmcp").startswith("3.") else "mime_type"


async def report(client: Client) -> dict[str, Any]:
    boom = await client.call_tool("boom", {}, raise_on_error=False)
    picture = (await client.call_tool("picture", {})).content[0]
    prompt = await client.get_prompt("letters:say", {"expected": "007"})
    meta = {key: value for key, value in (prompt.meta or {}).items() if key == "hud/episode"}
    await client.call_tool("_hud_submit", {"scenario": "say", "answer": "007"}, meta=meta)
    graded = await client.read_resource("letters:say", meta=meta)
    return {
        "tools": sorted(tool.name for tool in await client.list_tools()),
        "sum": (await client.call_tool("add", {"a": 2, "b": 3})).content[0].text,
        "error": [boom.is_error, boom.content[0].text],
        "picture": [getattr(picture, MIME_TYPE), picture.data],
        "prompts": sorted(prompt.name for prompt in await client.list_prompts()),
        "prompt": prompt.messages[0].content.text,
        "resource": (await client.read_resource("letters://rules"))[0].text,
        "reward": json.loads(getattr(graded, "contents", graded)[0].text)["reward"],
    }


async def main(target: dict[str, Any]) -> dict[str, Any]:
    async with Client(target.get("url") or StdioTransport(**target)) as client:
        return await report(client)


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
