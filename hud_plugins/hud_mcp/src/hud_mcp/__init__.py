"""MCP both ways: serve an environment to any client, connect to any server. The one place that knows the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Backend


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
    yield _command("analyze", "print what an environment or a server offers", "hud_mcp.commands.analyze")
    yield _command("dev", "serve an environment to MCP clients, and reload what you save", "hud_mcp.commands.dev")
    yield _command("scenario", "set up and grade scenarios of a running server", "hud_mcp.commands.scenario")


def _command(name: str, summary: str, module: str) -> Command:
    """Make a command out of a module's ``configure`` and ``run``, imported when the command is used."""

    def configure(parser: argparse.ArgumentParser) -> None:
        _load(module, "configure")(parser)

    def run(arguments: argparse.Namespace) -> int:
        code: int = _load(module, "run")(arguments)
        return code

    return Command(name, summary, configure, run)


def _load(module: str, name: str) -> Callable[..., Any]:
    import importlib

    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def __getattr__(name: str) -> object:
    """Give the names of `hud.server`; they bring the SDK along, so nothing else here does."""
    if name in ("MCPRouter", "MCPServer"):
        return _load("hud_mcp.server.facade", name)
    if name in ("elicit", "list_roots", "log", "progress", "resource_updated", "sample"):
        return _load("hud_mcp.server.asking", name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
