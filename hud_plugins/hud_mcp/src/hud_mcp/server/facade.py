"""What `Environment.run`, `http_app`, `include_router` and the like do."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import attrs
import msgspec

from hud_core.environment.environment import Environment
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.errors import ConfigError, DefinitionError, HudError, ToolError
from hud_core.model.tools import ToolCall, ToolResult
from hud_mcp.server.environment_server import EnvironmentServer
from hud_mcp.server.published import prompt, published, resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hud_mcp.server.http import ServedApp

__all__ = [
    "HiddenRouter", "InitializeContext", "MCPRouter", "MCPServer", "http_app", "include_router", "mount", "prompt",
    "resource", "run", "run_async",
]  # fmt: skip

_HTTP = ("http", "streamable-http")


class MCPServer(Environment):
    """An environment, under the name that servers of tools have.

    Args:
        name: As for `Environment`.
        instructions: As for `Environment`.
        version: The version that clients are told.
        options: The other arguments of `Environment`.
    """

    def __init__(
        self,
        name: str = "environment",
        instructions: str | None = None,
        *,
        version: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, instructions, **options)
        self.version = version

    def initialize(self, function: Callable[..., Any] | None = None, /) -> Any:  # noqa: ANN401  as in `Environment`
        """Run a function before the first request: one without parameters, or with one for an `InitializeContext`."""
        if function is None:
            return self.initialize
        needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        super().initialize(partial(function, InitializeContext()) if len(needed) == 1 else function)
        return function


MCPRouter = MCPServer
"""An environment that is declared to be included in another one."""


class HiddenRouter(MCPServer):
    """A router whose tools are offered as one: for ``include_router`` without ``hidden=True``.

    Args:
        router: The router.
        name: The one tool's name; the router's by default.
    """

    def __init__(self, router: Environment, *, name: str | None = None) -> None:
        super().__init__(name or router.name)
        include_router(self, router, hidden=True, name=name)


@attrs.frozen
class InitializeContext:
    """What an initialize function that takes something is given. It runs once for all clients, so it knows none."""

    meta: Mapping[str, Any] = attrs.field(factory=dict)
    """Empty: there is no request whose progress could be told."""
    session: None = None


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
    environment: Environment,
    router: Environment,
    prefix: str | None = None,
    *,
    hidden: bool = False,
    name: str | None = None,
) -> None:
    """Copy what another environment declares so far.

    Args:
        environment: Where to.
        router: Where from.
        prefix: Comes before the names of tools and prompts.
        hidden: Offer the tools as one.
        name: That one's name; the router's by default.

    Raises:
        DefinitionError: It is no environment, or a name is taken.
    """
    if not isinstance(router, Environment):
        msg = f"include_router takes an Environment or MCPRouter, got {type(router).__name__}; mount takes servers"
        raise DefinitionError(msg)
    start = f"{prefix}_" if prefix else ""
    if hidden:
        _add_dispatcher(environment, router, start + (name or router.name).replace("-", "_"))
    else:
        for known, tool in router.tool_functions.items():
            environment.add_tool(
                tool.function,
                name=_renamed(known, start),
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


def _renamed(name: str, start: str) -> str:
    """Put a prefix before a tool's name; an internal one stays internal."""
    return f"_{start}{name[1:]}" if name.startswith("_") else start + name


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


def _add_dispatcher(environment: Environment, router: Environment, name: str) -> None:
    """Offer a router's tools as one, and publish their names."""
    tools = Toolbox(LocalTools(router.tool_functions))
    names = [known for known in router.tool_functions if not known.startswith("_")]

    async def dispatch(name: str, arguments: dict[str, Any] | str | None = None) -> ToolResult:
        return await tools.call_tool(ToolCall(name, _arguments(name, arguments)))

    environment.add_tool(
        dispatch, name=name, description=f"Call one of these functions by name: {', '.join(names) or 'none'}."
    )
    resource(environment, f"{name}://functions", description=f"The functions of {name}.")(lambda: names)


def _arguments(name: str, given: dict[str, Any] | str | None) -> dict[str, Any]:
    """Read a function's arguments, which models also write as the text of an object."""
    if not isinstance(given, str):
        return given or {}
    try:
        return msgspec.json.decode(given, type=dict[str, Any])
    except msgspec.DecodeError as error:
        msg = f"the arguments of {name!r} must be an object, or its JSON text: {error}"
        raise ToolError(msg) from error


def mount(environment: Environment, server: Any, prefix: str | None = None) -> None:  # noqa: ANN401  any server's object
    """Join a server object of this process.

    Raises:
        DefinitionError: A name is taken.
    """
    if isinstance(server, Environment):
        include_router(environment, server, prefix)
        return
    environment.connect_server(server, prefix=prefix)
