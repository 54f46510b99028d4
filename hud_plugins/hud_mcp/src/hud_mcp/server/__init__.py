"""Environments as MCP servers."""

from __future__ import annotations

from hud_mcp.server.environment_server import EnvironmentServer

__all__ = ["EnvironmentServer"]
