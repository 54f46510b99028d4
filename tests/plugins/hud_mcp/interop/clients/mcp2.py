"""What a client of mcp 2.x sees of the server that is given as JSON, in the mode that is given."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import Client, StdioServerParameters


async def report(client: Client) -> dict[str, Any]:
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
        "reward": json.loads(graded.contents[0].text)["reward"],
    }


async def main(target: dict[str, Any], mode: str) -> dict[str, Any]:
    async with Client(target.get("url") or StdioServerParameters(**target), mode=mode) as client:
        return await report(client)


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2]))))
