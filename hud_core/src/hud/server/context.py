"""The context server; it lives in hud-mcp."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_mcp.context", "hud-mcp")
