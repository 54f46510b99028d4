"""The part of an environment that serves it over MCP. The work is hud-mcp's, loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hud_core.environment.borrowed import borrow

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class Serves:
    """Ways to serve an environment, and what it publishes beside tools and scenarios. They need hud-mcp."""

    def run(self, transport: str = "stdio", **options: Any) -> None:
        """Serve until the client leaves or the process is stopped.

        Args:
            transport: ``stdio``, or ``http`` (also called ``streamable-http``).
            options: ``host``, ``port``, ``path`` and ``stateless`` for HTTP, and those of
                `hud_mcp.server.EnvironmentServer`.

        Raises:
            ImportError: hud-mcp is not installed.
            ConfigError: There is no such transport, or the address may not or cannot be used.
        """
        _mcp("run")(self, transport, **options)

    async def run_async(self, transport: str = "stdio", **options: Any) -> None:
        """Serve until cancelled; arguments and errors as for `run`."""
        await _mcp("run_async")(self, transport, **options)

    def serve(self, transport: str = "http", *, host: str = "127.0.0.1", port: int = 8000, **options: Any) -> None:
        """Serve over HTTP until the process is stopped; arguments and errors as for `run`."""
        _mcp("run")(self, transport, host=host, port=port, **options)

    def http_app(self, path: str = "/mcp", *, stateless: bool = False, **options: Any) -> Any:  # noqa: ANN401  hud-mcp's
        """Make an ASGI application of the environment, to mount in another one with ``lifespan=app.lifespan``.

        Args:
            path: Where the endpoint is.
            stateless: Keep no sessions, for replicas; with ``store=`` any of them grades any episode, by its handle.
            options: Those of `hud_mcp.server.EnvironmentServer`.

        Raises:
            ImportError: hud-mcp is not installed.
            ConfigError: An option is wrong.
        """
        return _mcp("http_app")(self, path, stateless=stateless, **options)

    def resource(self, uri: str, **options: Any) -> Callable[[F], F]:
        """Publish a function's result as a document: ``@env.resource("notes://{name}")``.

        Raises:
            ImportError: hud-mcp is not installed.
            DefinitionError: The URI is taken, or its parameters are not the function's.
        """
        decorator: Callable[[F], F] = _mcp("resource")(self, uri, **options)
        return decorator

    def prompt(self, function: Callable[..., Any] | str | None = None, **options: Any) -> Any:  # noqa: ANN401  as above
        """Publish a prompt that people choose in their client: ``@env.prompt``, or ``@env.prompt("name")``.

        Raises:
            ImportError: hud-mcp is not installed.
            DefinitionError: The name is taken or looks like a scenario's.
        """
        return _mcp("prompt")(self, function, **options)

    def include_router(self, router: Any, prefix: str | None = None, *, hidden: bool = False) -> None:  # noqa: ANN401  another Environment, checked there
        """Copy what another environment declares so far: tools, scenarios, connections, resources, prompts and hooks.

        Args:
            router: The other environment.
            prefix: Comes before the names of its tools (its connections' too) and prompts, as ``{prefix}_{name}``.
            hidden: Offer its tools as one, named after it, that takes ``name`` and ``arguments``.

        Raises:
            ImportError: hud-mcp is not installed.
            DefinitionError: A name is taken.
        """
        _mcp("include_router")(self, router, prefix, hidden=hidden)

    def mount(self, server: Any, prefix: str | None = None) -> None:  # noqa: ANN401  any server's object
        """Join a server object of this process: another environment's parts, or an MCP server's tools."""
        _mcp("mount")(self, server, prefix)


def _mcp(name: str) -> Any:  # noqa: ANN401  a function of the plugin
    return borrow("hud_mcp.server.facade", name, "hud-mcp", "serving an environment")
