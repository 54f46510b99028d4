"""Server objects of this process, as the SDK's client takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.server import Server
from mcp.server.mcpserver import MCPServer

from hud_core.environment.environment import Environment
from hud_mcp.client.backend import no_server

if TYPE_CHECKING:
    from hud_mcp.client.options import Target

_INNER = ("_mcp_server", "_lowlevel_server")
"""Where FastMCP's objects keep the SDK's server."""


def server_of(target: Target, capability: str | None) -> Server[Any] | MCPServer:
    """Give the SDK's server that an object is or holds.

    Raises:
        ConfigError: It is no server.
    """
    value = target.value
    if isinstance(value, Environment):
        return environment_server(value, capability)
    if isinstance(value, Server | MCPServer):
        return value
    for name in _INNER:
        inner = getattr(value, name, None)
        if isinstance(inner, Server):
            return inner
    raise no_server(target.name, value)


def environment_server(environment: Environment, capability: str | None) -> Server[Any]:
    """Serve an environment of ours in this process, for one harness."""
    from hud_mcp.server import EnvironmentServer

    return EnvironmentServer(environment, harness=capability).lowlevel
