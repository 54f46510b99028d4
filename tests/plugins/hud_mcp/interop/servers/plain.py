"""A server of mcp 1.x, fastmcp 3 or 4, whichever is installed: ``plain.py stdio`` or ``plain.py http PORT``."""

from __future__ import annotations

import base64
import sys
from importlib.metadata import version

try:
    from fastmcp import FastMCP
    from fastmcp.exceptions import ToolError
    from fastmcp.utilities.types import Image
except ImportError:
    from mcp.server.fastmcp import FastMCP, Image
    from mcp.server.fastmcp.exceptions import ToolError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
transport, *port = sys.argv[1:]
address = {"host": "127.0.0.1", "port": int(port[0])} if port else {}
is_fastmcp = FastMCP.__module__.startswith("fastmcp")
server = FastMCP("letters") if is_fastmcp else FastMCP("letters", **address)


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
    return f"fastmcp {version('fastmcp')}" if is_fastmcp else f"mcp {version('mcp')}"


if not port:
    server.run(transport="stdio")
elif is_fastmcp:
    server.run(transport="http", **address)
else:
    server.run(transport="streamable-http")
