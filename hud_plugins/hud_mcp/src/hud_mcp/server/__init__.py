"""Environments as MCP servers."""

from __future__ import annotations

from hud_mcp.server.environment_server import EnvironmentServer
from hud_mcp.server.store import Address, EpisodeStore, FolderStore, UrlStore

__all__ = ["Address", "EnvironmentServer", "EpisodeStore", "FolderStore", "UrlStore"]
