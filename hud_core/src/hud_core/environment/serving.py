"""The part of an environment that serves it over MCP. The work is hud-mcp's, loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hud_core.environment.borrowed import borrow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hud_core.environment.publications import Publications
    from hud_core.environment.session import Tools
    from hud_core.model.content import Prompt, ResourceContent
    from hud_core.model.publications import ListedPrompt, ListedResource

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

    async def list_prompts(self) -> list[ListedPrompt]:
        """List the prompts of the rollout that is running this code: the environment's own and its connections'.

        Outside a rollout those of connections are there while the environment is entered. Scenarios are not listed.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Two connections have a prompt of one name, and `conflict_resolution` says that is an error.
        """
        return list(await self._publications().list_prompts())

    async def get_prompt(self, name: str, arguments: Mapping[str, Any] | None = None) -> Prompt:
        """Give a prompt, as `list_prompts` names it.

        Args:
            name: Its name.
            arguments: Its arguments; what is no text is sent as JSON.

        Raises:
            ConfigError: There is no such prompt.
            ToolError: The server of a connection refused.
            BackendError: A connection is lost.
        """
        return await self._publications().get_prompt(name, arguments or {})

    async def list_resources(self) -> list[ListedResource]:
        """List the resources; where from, and errors, as for `list_prompts`."""
        return [one for one in await self._publications().list_resources() if not one.is_template]

    async def list_resource_templates(self) -> list[ListedResource]:
        """List the templates of resources; where from, and errors, as for `list_prompts`."""
        return [one for one in await self._publications().list_resources() if one.is_template]

    async def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource; it may have several parts.

        Args:
            uri: Its address, as `list_resources` has it, or one that a template leads to.

        Raises:
            ConfigError: There is no such resource.
            ToolError: The server of a connection refused.
            BackendError: A connection is lost.
        """
        return list(await self._publications().read_resource(uri))

    def _tools(self) -> Tools:
        raise NotImplementedError  # the environment's

    def _publications(self) -> Publications:
        from hud_core.environment.publications import nothing

        return getattr(self._tools(), "publications", None) or nothing()

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
