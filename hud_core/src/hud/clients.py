"""Where hud-python had its MCP client."""

from __future__ import annotations

from hud._lazy import lazy

_CLIENT = "an Environment is the client: env.connect_mcp_config(config), `async with env:`, and env.call_tool"

__getattr__ = lazy(__name__, {}, gone={"MCPClient": _CLIENT})
