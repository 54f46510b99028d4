"""An environment as an MCP server: over HTTP, over stdio, or mounted in somebody else's application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio

from hud_core import __version__
from hud_core.errors import ConfigError
from hud_mcp import wire
from hud_mcp.addresses import is_loopback
from hud_mcp.server.guard import LOOPBACK_HOSTS, Policy
from hud_mcp.server.lowlevel import lowlevel_server
from hud_mcp.server.run import running
from hud_mcp.server.store import episode_store
from hud_mcp.server.surface import Surface

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from mcp.server import Server

    from hud_core.environment.environment import Environment
    from hud_mcp.server.http import ServedApp
    from hud_mcp.server.run import ServerRun
    from hud_mcp.server.store import EpisodeStore

MAX_SESSIONS = 1000
EPISODE_TTL = 1800.0


class EnvironmentServer:
    """Serves an environment to MCP clients of both protocol eras.

    Everybody sees its tools. Setting up scenarios and grading them is for harnesses: where `harness` is set, only
    requests that show it in ``_meta["hud/harness"]`` may, and nobody else learns that there are scenarios. Without it
    every client may, as clients of hud 0.5 expect; an agent that is given such a server could grade itself.

    Args:
        environment: What is served.
        name: The server's name; the environment's by default.
        version: The version that it tells clients; that of an `MCPServer`, or else hud's, by default.
        token: The bearer token that HTTP clients must show; needed to bind an address beyond this machine.
        harness: The capability that harnesses must show. By default that of the environment variable
            ``HUD_MCP_HARNESS``, which is taken out of the environment, for the tools not to see it.
        allowed_hosts: Hosts by which HTTP clients may call the server; by default those of this machine, or any where
            a token is set and the address is wider.
        allowed_origins: Origins of web pages that may call it, which also turns CORS on for them.
        max_sessions: How many episodes may be open at once, and how many HTTP sessions.
        episode_ttl: For how many seconds an episode, or an HTTP session, may go unused before it is closed.
        max_body: How many bytes a request may have, or a line at stdin.
        store: Where the replicas of a stateless server find each other's episodes: a folder that they share, or an
            `EpisodeStore`.

    Raises:
        ConfigError: A tool is named like the harness's, or a limit is not positive.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        name: str | None = None,
        version: str | None = None,
        token: str | None = None,
        harness: str | None = None,
        allowed_hosts: Sequence[str] | None = None,
        allowed_origins: Sequence[str] = (),
        max_sessions: int = MAX_SESSIONS,
        episode_ttl: float = EPISODE_TTL,
        max_body: int = 4 * 1024 * 1024,
        store: EpisodeStore | str | os.PathLike[str] | None = None,
    ) -> None:
        _check_tools(environment)
        _check_limits(max_sessions=max_sessions, episode_ttl=episode_ttl, max_body=max_body)
        self.environment = environment
        self.max_sessions = max_sessions
        self.episode_ttl = episode_ttl
        self.max_body = max_body
        self.store = episode_store(store)
        self._token = token
        self._hosts = None if allowed_hosts is None else tuple(allowed_hosts)
        self.allowed_origins = tuple(allowed_origins)
        self._runs: set[ServerRun] = set()
        self._serves = anyio.Event()
        surface = Surface(harness or os.environ.pop(wire.HARNESS_VARIABLE, None))
        self.lowlevel: Server[ServerRun] = lowlevel_server(
            surface,
            name or environment.name,
            version or getattr(environment, "version", None) or __version__,
            instructions=environment.instructions,
            lifespan=self._lifespan,
            schema_of=self._schema,
        )
        """The SDK's server, for clients in this process: ``mcp.Client(server.lowlevel)``."""

    async def serve_http(
        self, host: str = "127.0.0.1", port: int = 8765, path: str = "/mcp", *, stateless: bool = False
    ) -> None:
        """Serve streamable HTTP until cancelled; ``stateless`` as for `http_app`.

        Raises:
            ConfigError: The address is wider than this machine, and no token is set; or it cannot be bound; or there is
                a store, and the server is not stateless.
        """
        from hud_mcp.server.http import serve

        if not is_loopback(host) and self._token is None:
            msg = (
                f"serving on {host!r} lets other machines call the environment's tools; set a token "
                "(token=..., or --token), or serve on '127.0.0.1'"
            )
            raise ConfigError(msg)
        await serve(self._app(path, stateless=stateless, is_wide=not is_loopback(host)), host, port)

    async def serve_stdio(self) -> None:
        """Serve the one client at this process's stdin and stdout, until it leaves."""
        from hud_mcp.server.stdio import stdio

        async with stdio(self.max_body) as (read, write):
            await self.lowlevel.run(read, write, self.lowlevel.create_initialization_options())

    def http_app(self, path: str = "/mcp", *, stateless: bool = False) -> ServedApp:
        """Make an ASGI application, to serve as it is or to mount in another one.

        A mounted application's lifespan must be run: pass ``lifespan=app.lifespan`` to the outer one.

        Args:
            path: Where the endpoint is.
            stateless: Keep no sessions, for replicas behind a load balancer. Episodes are then known by their handle
                alone. They live in the replica that set them up; the others pass its requests on where the server has a
                store.

        Raises:
            ConfigError: There is a store, and the application is not stateless: sessions are one replica's.
        """
        return self._app(path, stateless=stateless, is_wide=False)

    async def start(self) -> None:
        """Initialise the environment and open its connections now, and not at the first request.

        It waits until the server serves.

        Raises:
            SetupError: An initialize function failed. The first request tries again.
            BackendError: A connection cannot be opened. The first request tries again.
        """
        await self._serves.wait()
        for run in list(self._runs):
            await run.edition.start()

    async def replace(self, environment: Environment) -> None:
        """Serve another environment from now on.

        Calls and episodes under way finish on the one they began with; clients are told that tools, prompts and
        resources have changed, and stay connected.

        Raises:
            ConfigError: A tool is named like the harness's.
            SetupError: An initialize function failed; the present environment stays.
        """
        _check_tools(environment)
        for run in list(self._runs):
            await run.replace(environment)
        self.environment = environment
        self.lowlevel.instructions = environment.instructions

    async def resource_updated(self, uri: str) -> None:
        """Tell the clients that subscribed to a resource that it has changed.

        Code that clients call has `hud.server.resource_updated` for it, which needs no server object.
        """
        for run in list(self._runs):
            await run.resource_updated(uri)

    def _app(self, path: str, *, stateless: bool, is_wide: bool) -> ServedApp:
        from hud_mcp.server.http import make_app

        if self.store is not None and not stateless:
            msg = "a store is for replicas that keep no sessions; serve with stateless=True, or without store="
            raise ConfigError(msg)
        hosts = self._hosts
        if hosts is None and not (is_wide and self._token is not None):
            hosts = LOOPBACK_HOSTS
        policy = Policy(token=self._token, hosts=hosts, origins=self.allowed_origins)
        return make_app(self, policy, path=path, stateless=stateless)

    def _schema(self, name: str) -> Mapping[str, Any] | None:
        found = self.environment.tool_functions.get(name)
        return None if found is None else found.tool.input_schema

    def _lifespan(self, _: Server[ServerRun]) -> AbstractAsyncContextManager[ServerRun]:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[ServerRun]:
            async with running(
                self.environment, limit=self.max_sessions, ttl=self.episode_ttl, store=self.store
            ) as run:
                self._runs.add(run)
                self._serves.set()
                try:
                    yield run
                finally:
                    self._runs.discard(run)

        return lifespan()


def _check_tools(environment: Environment) -> None:
    taken = [name for name in environment.tool_functions if name.startswith("_hud_")]
    if taken:
        msg = f"tool {taken[0]!r} is named like the harness's; give it a name without '_hud_'"
        raise ConfigError(msg)


def _check_limits(**limits: float) -> None:
    for name, value in limits.items():
        if not 0 < value < float("inf"):
            msg = f"{name} must be a positive number, got {value!r}"
            raise ConfigError(msg)
