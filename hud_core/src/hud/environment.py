"""Environments and scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import ConflictResolution, Connection, Environment, EnvRef, ScenarioHandle
    from hud_core import Connection as Connector
    from hud_core import EnvRef as EnvConfig

__all__ = [
    "ConflictResolution", "Connection", "Connector", "EnvConfig", "EnvRef", "Environment", "ScenarioHandle",
]  # fmt: skip

_NOW = {"EnvConfig": "EnvRef", "Connector": "Connection"}
_MCP = (
    "ConnectionConfig", "ConnectionType", "MCPRouter", "ScenarioSession", "ToolFormat", "ToolRouter", "format_result",
    "generate_mock_value", "parse_tool_call", "parse_tool_calls",
)  # fmt: skip

__getattr__ = lazy(
    __name__,
    {name: f"hud_core:{_NOW.get(name, name)}" for name in __all__},
    {name: (f"hud_mcp:{name}", "hud-mcp") for name in _MCP},
)
