"""An MCP server of the SDK with tools of every kind; over stdio, or over HTTP at the port given."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import AssistantMessage, UserMessage
from mcp.types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

server = MCPServer("everything")
_episode = {"answer": None}


@server.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def boom() -> str:
    """Fail."""
    msg = "overboard"
    raise ToolError(msg)


@server.tool()
async def blocks() -> CallToolResult:
    """Give a block of every kind."""
    sound = base64.b64encode(b"beep").decode()
    document = TextResourceContents(uri="note://1", text="a note", mime_type="text/plain")
    return CallToolResult(
        content=[
            TextContent(text="some text"),
            ImageContent(data=PIXEL, mime_type="image/png"),
            AudioContent(data=sound, mime_type="audio/wav"),
            EmbeddedResource(resource=document),
            ResourceLink(uri="note://2", name="2"),
        ],
        structured_content={"n": 5},
    )


@server.tool()
async def big(size: int) -> str:
    """Give much text."""
    return "x" * size


@server.tool()
async def steps(ctx: Context, number: int) -> str:
    """Report progress."""
    for step in range(number):
        await ctx.report_progress(step + 1, number, f"step {step + 1}")
    return "done"


@server.tool()
async def grow(ctx: Context) -> str:
    """Add a tool."""

    async def grown() -> str:
        return "grown"

    server.add_tool(grown)
    await ctx.notify_tools_changed()
    if ctx.request_context.protocol_version < "2026":
        await ctx.session.send_tool_list_changed()
    return "grew"


@server.tool()
async def die() -> str:
    """Kill the server."""
    print("dying now", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return "spared"


@server.tool()
async def sleep(mark: str) -> str:
    """Take long."""
    with open(mark, "a") as file:  # noqa: ASYNC230, PTH123
        file.write("began\n")
    await asyncio.sleep(600)
    return "done"


@server.tool()
async def variable(name: str) -> str:
    """Read an environment variable."""
    return os.environ.get(name, "unset")


@server.tool()
async def process() -> int:
    """Give the process id."""
    return os.getpid()


@server.tool()
async def child() -> int:
    """Start a child that outlives the server."""
    return subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL).pid  # noqa: ASYNC220


@server.tool()
async def header(ctx: Context, name: str) -> str:
    """Read a header of this very request."""
    request = ctx.request_context.request
    return request.headers.get(name, "none") if request is not None else "no request"


# --- a scenario, as servers of the reference have it: state in the session, no handle ---------------------------------


@server.prompt(name="everything:count")
async def count(word: str, number: str = "1") -> list[UserMessage | AssistantMessage]:
    """Set up."""
    if word == "fail":
        msg = "no word today"
        raise ValueError(msg)
    _episode["answer"] = None
    _episode["word"] = word
    image = ImageContent(data=PIXEL, mime_type="image/png")
    return [UserMessage(f"{word!r} {number!r}"), AssistantMessage("What?"), UserMessage("Here."), UserMessage(image)]


@server.tool(name="_hud_submit")
async def submit(scenario: str, answer: str) -> str:
    """Take the answer."""
    _episode["answer"] = answer
    _episode["scenario"] = scenario
    return "ok"


@server.resource("everything:count")
async def score() -> str:
    """Grade."""
    if _episode["answer"] == "fail":
        return json.dumps({"reward": 0.0, "done": True, "isError": True, "content": "cannot grade"})
    return json.dumps({"reward": float(_episode["answer"] == "3"), "done": True, "info": dict(_episode)})


# --- what it publishes ------------------------------------------------------------------------------------------------


@server.prompt()
async def greet(who: str) -> list[UserMessage | AssistantMessage]:
    """Greet somebody."""
    image = ImageContent(data=PIXEL, mime_type="image/png")
    return [UserMessage(f"Hello {who}"), AssistantMessage("Hello."), UserMessage(image)]


@server.resource("note://pid", mime_type="text/x-pid")
async def note() -> str:
    """Give the process id."""
    return str(os.getpid())


@server.resource("note://pixel/{name}")
async def pixel(name: str) -> bytes:
    """Give some bytes."""
    return name.encode()


def main() -> None:
    how = sys.argv[1] if len(sys.argv) > 1 else "stdio"
    print("hello from stderr", file=sys.stderr, flush=True)
    if how == "stdio":
        server.run("stdio")
    elif how == "noisy":
        print("this is no message", flush=True)
        print('{"neither": "is this"}', flush=True)
        server.run("stdio")
    elif how == "slow":
        time.sleep(2)
        server.run("stdio")
    elif how == "broken":
        print("cannot find the thing", file=sys.stderr)
        sys.exit(3)
    elif how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(600)
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(how))


if __name__ == "__main__":
    main()
