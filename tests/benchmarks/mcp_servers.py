"""The letter counter behind MCP, in a process of its own: by our server, or by the SDK's with nothing around it.

``python mcp_servers.py ours|sdk stdio|http``. Over HTTP it writes the port that it took to stdout.
"""

from __future__ import annotations

import json
import socket
import sys

import anyio
import mcp_types as types
from letters import count, count_letter, env
from mcp.server import Server

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "letter": {"type": "string"}},
    "required": ["text", "letter"],
}


class Bare:
    """The least that the SDK can do the same work with: handlers that check nothing. One episode a handle."""

    def __init__(self) -> None:
        self._episodes = {}

    def server(self) -> Server:
        return Server(
            "letters",
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_get_prompt=self.get_prompt,
            on_read_resource=self.read_resource,
            get_tool_input_schema=lambda _: SCHEMA,
        )

    async def list_tools(self, ctx, params):
        return types.ListToolsResult(tools=[types.Tool(name="count_letter", input_schema=SCHEMA)])

    async def call_tool(self, ctx, params):
        if params.name == "_hud_submit":
            self._episodes[params.meta["hud/episode"]][1] = params.arguments["answer"]
            return types.CallToolResult(content=[])
        number = await count_letter(**params.arguments)
        return types.CallToolResult(
            content=[types.TextContent(text=str(number))], structured_content={"result": number}
        )

    async def get_prompt(self, ctx, params):
        handle = str(len(self._episodes))
        generator = count.function(**params.arguments)
        self._episodes[handle] = [generator, None]
        text = await generator.asend(None)
        message = types.PromptMessage(role="user", content=types.TextContent(text=text))
        return types.GetPromptResult(messages=[message], _meta={"hud/episode": handle})

    async def read_resource(self, ctx, params):
        generator, answer = self._episodes.pop(ctx.meta["hud/episode"])
        reward = await generator.asend(answer)
        await generator.aclose()
        text = json.dumps({"reward": reward})
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text=text)])


async def serve_stdio(which: str) -> None:
    if which == "ours":
        await env.run_async("stdio")
        return
    from mcp.server.stdio import stdio_server

    server = Bare().server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(which: str) -> None:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    print(port, flush=True)
    if which == "ours":
        await env.run_async("http", port=port)
        return
    import uvicorn

    app = Bare().server().streamable_http_app()
    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()


if __name__ == "__main__":
    anyio.run({"stdio": serve_stdio, "http": serve_http}[sys.argv[2]], sys.argv[1])
