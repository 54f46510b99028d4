"""A FastMCP object, as its users declare one."""

from __future__ import annotations

from fastmcp import FastMCP

mcp = FastMCP("kitchen")


@mcp.tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n
