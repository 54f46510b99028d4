"""MCP both ways: serve an environment to any client, connect to any server. The one place that knows the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Backend
    from hud_mcp.client.lines import Peer, Pipes
    from hud_mcp.client.opened import open_session
    from hud_mcp.client.opening import HttpOpener, PeerOpener
    from hud_mcp.client.served import ServedOpener, ServingPeer
    from hud_mcp.client.session import MCPSession
    from hud_mcp.server.toolbox import ToolboxAddress, serve_toolbox

__all__ = [
    "HttpOpener", "MCPSession", "Peer", "PeerOpener", "Pipes", "ServedOpener", "ServingPeer", "ToolboxAddress",
    "hud_backends", "hud_commands", "open_session", "serve_toolbox",
]  # fmt: skip

_NAMES = {
    "hud_mcp.client.lines": ("Peer", "Pipes"),
    "hud_mcp.client.opened": ("open_session",),
    "hud_mcp.client.opening": ("HttpOpener", "PeerOpener"),
    "hud_mcp.client.served": ("ServedOpener", "ServingPeer"),
    "hud_mcp.client.session": ("MCPSession",),
    "hud_mcp.server.facade": ("HiddenRouter", "MCPRouter", "MCPServer"),
    "hud_mcp.server.asking": ("elicit", "list_roots", "log", "progress", "resource_updated", "sample"),
    "hud_mcp.server.toolbox": ("ToolboxAddress", "serve_toolbox"),
}
"""The modules behind the names of `hud.server`, and behind those for other plugins."""


def _mcp() -> Callable[..., Backend]:
    from hud_mcp.client.backend import MCPBackend

    return MCPBackend


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    """Provide environments behind MCP servers."""
    yield Provider("mcp", _mcp, "environments behind MCP servers: by URL, by command, or as objects")


@hookimpl
def hud_commands() -> Iterable[Command]:
    """Provide the commands that serve an environment, and that talk to one."""
    yield Command.from_module("analyze", "print what an environment or a server offers", "hud_mcp.commands.analyze")
    yield Command.from_module("dev", "serve an environment to MCP clients, and reload on save", "hud_mcp.commands.dev")
    yield Command.from_module("scenario", "set up and grade scenarios of a running server", "hud_mcp.commands.scenario")


def __getattr__(name: str) -> object:
    """Give the names that bring the SDK along; nothing else here does."""
    import importlib

    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
