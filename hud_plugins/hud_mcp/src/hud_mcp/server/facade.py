"""What `Environment.run`, `http_app`, `include_router` and the like do."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from hud_core.environment.environment import Environment
from hud_core.environment.tools import LocalTools
from hud_core.errors import ConfigError, DefinitionError, HudError
from hud_core.model.tools import ToolCall, ToolResult
from hud_mcp.server.environment_server import EnvironmentServer
from hud_mcp.server.published import prompt, published, resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_mcp.server.http import ServedApp

__all__ = ["MCPRouter", "MCPServer", "http_app", "include_router", "mount", "prompt", "resource", "run", "run_async"]

_HTTP = ("http", "streamable-http")


class MCPServer(Environment):
    """An environment, under the name that servers of tools have."""


MCPRouter = MCPServer
"""An environment that is declared to be included in another one."""


def run(environment: Environment, transport: str = "stdio", **options: Any) -> None:
    """Serve until the client leaves or the process is stopped."""
    anyio.run(partial(_until_stopped, environment, transport, options))


async def _until_stopped(environment: Environment, transport: str, options: dict[str, Any]) -> None:
    failure: HudError | None = None
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop, signals, tasks.cancel_scope)
            try:
                await run_async(environment, transport, **options)
            except HudError as error:  # told as it is, not in the task group's
                failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _stop(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


async def run_async(
    environment: Environment,
    transport: str = "stdio",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    path: str = "/mcp",
    stateless: bool = False,
    **options: Any,
) -> None:
    """Serve until cancelled.

    Raises:
        ConfigError: There is no such transport.
    """
    if transport not in ("stdio", *_HTTP):
        msg = f"transport must be 'stdio' or 'http', got {transport!r}"
        raise ConfigError(msg)
    server = EnvironmentServer(environment, **options)
    if transport == "stdio":
        await server.serve_stdio()
    else:
        await server.serve_http(host, port, path, stateless=stateless)


def http_app(environment: Environment, path: str = "/mcp", *, stateless: bool = False, **options: Any) -> ServedApp:
    """Make an ASGI application of an environment."""
    return EnvironmentServer(environment, **options).http_app(path, stateless=stateless)


def include_router(
    environment: Environment, router: Environment, prefix: str | None = None, *, hidden: bool = False
) -> None:
    """Copy what another environment declares so far.

    Raises:
        DefinitionError: It is no environment, or a name is taken.
    """
    if not isinstance(router, Environment):
        msg = f"include_router takes an Environment or MCPRouter, got {type(router).__name__}; mount takes servers"
        raise DefinitionError(msg)
    start = f"{prefix}_" if prefix else ""
    if hidden:
        _add_dispatcher(environment, router, start)
    else:
        for name, tool in router.tool_functions.items():
            environment.add_tool(
                tool.function,
                name=start + name,
                description=tool.tool.description,
                meta=tool.tool.meta,
                blocking=tool._in_thread,  # noqa: SLF001  the only place that keeps it
            )
    for handle in router.scenarios.values():
        told = {field.name: getattr(handle.options, field.name) for field in attrs.fields(type(handle.options))}
        environment.scenario(**{**told, "name": handle.name})(handle.function)
    _copy_published(environment, router, start)
    environment._join(  # noqa: SLF001  all of them or none
        [attrs.evolve(c, prefix=start + c.prefix if c.prefix else prefix) for c in router.connections.values()]
    )
    environment.on_initialize += router.on_initialize
    environment.on_shutdown += router.on_shutdown


def _copy_published(environment: Environment, router: Environment, start: str) -> None:
    theirs, ours = published(router), published(environment)
    for uri, kept in theirs.resources.items():
        if ours.resources.setdefault(uri, kept) is not kept:
            msg = f"environment {environment.name!r} already has a resource {uri!r}"
            raise DefinitionError(msg)
    for name, found in theirs.prompts.items():
        if start + name in ours.prompts:
            msg = f"environment {environment.name!r} already has a prompt {start + name!r}"
            raise DefinitionError(msg)
        ours.prompts[start + name] = attrs.evolve(found, name=start + name)


def _add_dispatcher(environment: Environment, router: Environment, start: str) -> None:
    """Offer a router's tools as one."""
    tools = LocalTools(router.tool_functions)
    names = ", ".join(router.tool_functions) or "none"

    async def dispatch(name: str, arguments: dict[str, Any] | None = None) -> ToolResult:
        return await tools.call_tool(ToolCall(name, arguments or {}))

    tool_name = start + router.name.replace("-", "_")
    environment.add_tool(dispatch, name=tool_name, description=f"Call one of these functions by name: {names}.")


def mount(environment: Environment, server: Any, prefix: str | None = None) -> None:  # noqa: ANN401  any server's object
    """Join a server object of this process.

    Raises:
        DefinitionError: A name is taken.
    """
    if isinstance(server, Environment):
        include_router(environment, server, prefix)
        return
    environment.connect_server(server, prefix=prefix)
