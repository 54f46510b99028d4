"""Environments and scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import ConflictResolution, Connection, Environment, EnvRef, ScenarioHandle
    from hud_core import Connection as Connector
    from hud_core import EnvRef as EnvConfig
    from hud_core.environment.formats import ToolFormat, format_result, parse_tool_call, parse_tool_calls

__all__ = [
    "ConflictResolution", "Connection", "Connector", "EnvConfig", "EnvRef", "Environment", "ScenarioHandle",
    "ToolFormat", "format_result", "parse_tool_call", "parse_tool_calls",
]  # fmt: skip

_FORMATS = ("ToolFormat", "format_result", "parse_tool_call", "parse_tool_calls")
_NOW = {"EnvConfig": "EnvRef", "Connector": "Connection"}
_GONE = {
    "ConnectionConfig": "give prefix=, include=, exclude= and transform= to Environment.connect_url and its siblings",
    "ConnectionType": "how a connection is reached is its ref, an EnvRef",
    "MockMixin": "every Environment has mock, mock_tool and unmock",
    "ScenarioMixin": "every Environment has scenario",
    "ScenarioSession": "Environment.session gives a session, and hud.eval drives one",
    "ToolRouter": "an Environment routes tools itself; MCPRouter of hud.server groups them",
    "generate_mock_value": "give what a mocked tool returns to Environment.mock_tool",
}

__getattr__ = lazy(
    __name__,
    {
        **{name: f"hud_core:{_NOW.get(name, name)}" for name in __all__ if name not in _FORMATS},
        **{name: f"hud_core.environment.formats:{name}" for name in _FORMATS},
    },
    {"MCPRouter": ("hud_mcp:MCPRouter", "hud-mcp")},
    _GONE,
)
