"""MCP routers; they live in hud-mcp."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_mcp", "hud-mcp")
