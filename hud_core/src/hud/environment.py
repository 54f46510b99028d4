"""Environments and scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import ConflictResolution, Environment, EnvRef, ScenarioHandle
    from hud_core import EnvRef as EnvConfig

__all__ = ["ConflictResolution", "EnvConfig", "EnvRef", "Environment", "ScenarioHandle"]

_MCP = (
    "ConnectionConfig", "ConnectionType", "Connector", "MCPRouter", "MockMixin", "ScenarioSession", "ToolFormat",
    "ToolRouter", "format_result", "generate_mock_value", "parse_tool_call", "parse_tool_calls",
)  # fmt: skip

__getattr__ = lazy(
    __name__,
    {name: f"hud_core:{'EnvRef' if name == 'EnvConfig' else name}" for name in __all__},
    {name: (f"hud_mcp:{name}", "hud-mcp") for name in _MCP},
)
