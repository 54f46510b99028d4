"""Runs any command-line agent on the tasks of hud-core, with the tools served to it over MCP."""

from __future__ import annotations
