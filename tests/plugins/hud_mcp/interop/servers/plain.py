"""A server of mcp 1 or 2, fastmcp 3 or 4: ``plain.py LIBRARY stdio`` or ``plain.py LIBRARY http PORT``."""

from __future__ import annotations

import base64
import sys
from importlib.metadata import version
from pathlib import Path

import anyio

library, transport, *port = sys.argv[1:]
if library == "mcp1":
    from mcp.server.fastmcp import Context, FastMCP, Image
    from mcp.server.fastmcp.exceptions import ToolError
elif library == "mcp2":
    from mcp.server.mcpserver import Context, Image
    from mcp.server.mcpserver import MCPServer as FastMCP
    from mcp.server.mcpserver.exceptions import ToolError
else:
    from fastmcp import Context, FastMCP
    from fastmcp.exceptions import ToolError
    from fastmcp.utilities.types import Image
    from mcp.types import ToolListChangedNotification

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
address = {"host": "127.0.0.1", "port": int(port[0])} if port else {}
server = FastMCP("letters", **(address if library == "mcp1" else {}))


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def boom() -> str:
    """Fail."""
    raise ToolError("no such letter")


@server.tool()
def picture() -> Image:
    """Show a pixel."""
    return Image(data=base64.b64decode(PIXEL), format="png")


@server.tool()
def made_with() -> str:
    """Name the library."""
    name = library.rstrip("1234")
    return f"{name} {version(name)}"


@server.tool()
async def climb(to: int, ctx: Context) -> str:
    """Tell of each step."""
    for step in range(1, to + 1):
        await ctx.report_progress(step, to, f"step {step}")
    return "there"


@server.tool()
async def wait(file: str) -> str:
    """Wait for ever, and write down when that begins and ends."""
    Path(file).write_text("began", "utf-8")
    try:
        await anyio.sleep_forever()
    finally:
        Path(file).write_text("ended", "utf-8")
    return "never"


@server.tool()
async def grow(ctx: Context) -> str:
    """Offer one more tool, and tell the clients."""
    server.add_tool(more)
    if library == "mcp1":
        await ctx.session.send_tool_list_changed()
    elif library == "mcp2":
        await ctx.notify_tools_changed()
    else:
        await ctx.send_notification(ToolListChangedNotification())
    return "grown"


def more() -> str:
    """Be one more tool."""
    return "more"


if not port:
    server.run(transport="stdio")
elif library == "mcp1":
    server.run(transport="streamable-http")
else:
    server.run(transport="streamable-http", **address)
