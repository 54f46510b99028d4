"""A server's ASGI application, and uvicorn to serve it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import anyio
from attrs import evolve
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp_types import JSONRPCError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from hud_core.errors import ConfigError
from hud_mcp.server.bodies import BODY_SECONDS, WholeRequest
from hud_mcp.server.episodes import GONE_SECONDS
from hud_mcp.server.forward import Forward
from hud_mcp.server.guard import Guard
from hud_mcp.server.refusals import refusal
from hud_mcp.server.requests import ADDRESSED
from hud_mcp.wire import episode_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    import uvicorn
    from mcp.server.streamable_http import StreamableHTTPServerTransport
    from starlette.types import ASGIApp, Receive, Scope, Send

    from hud_mcp.server.environment_server import EnvironmentServer
    from hud_mcp.server.guard import Policy
    from hud_mcp.server.store import EpisodeStore

    _Run = Callable[[], AbstractAsyncContextManager[None]]

CLOSE_SECONDS = 2
"""How long uvicorn waits for answers under way when it is stopped."""
KEEP_SECONDS = 20
"""How long an unused connection is kept: longer than clients do, often 5 s, so that no call meets a closing one."""
STUCK_SECONDS = 30.0
"""How long a connection may neither ask nor read what it was sent; it is dropped within twice that."""


class ServedApp(Starlette):
    """A server's endpoint. `lifespan` runs it, inside an outer application or by uvicorn."""

    run: _Run

    def lifespan(self, _: object = None) -> AbstractAsyncContextManager[None]:
        """Run the sessions; for ``Starlette(lifespan=...)`` and ``FastAPI(lifespan=...)``."""
        return self.run()


class Endpoint:
    """The streamable HTTP endpoint; says what is missing where an outer application does not run its lifespan.

    Args:
        manager: Answers.
        ttl: For how many seconds a session may go unused; it is what `manager` has.
    """

    def __init__(self, manager: StreamableHTTPSessionManager, ttl: float) -> None:
        self._manager = manager
        self._ttl = ttl
        self._serve = StreamableHTTPASGIApp(manager)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._manager._task_group is None:  # noqa: SLF001  the SDK would answer with a bare 500
            text = "the MCP app's lifespan is not running; give the outer application lifespan=app.lifespan"
            await PlainTextResponse(text, 503)(scope, receive, send)
            return
        if (refused := self._refuse(scope)) is not None:
            await refused(scope, receive, send)
            return
        session = Headers(scope=scope).get(MCP_SESSION_ID_HEADER, "")
        transport = self._manager._server_instances.get(session) if scope["method"] == "GET" else None  # noqa: SLF001
        if transport is None:
            await self._serve(scope, receive, send)
            return
        _allow_idle(transport, self._ttl)
        try:
            await self._serve(scope, receive, send)
        finally:  # a client holds this stream for as long as it lives
            _allow_idle(transport, min(self._ttl, GONE_SECONDS))

    def _refuse(self, scope: Scope) -> Response | None:
        """Refuse what comes to the address of no episode, before it opens a session: who guesses shows no token."""
        token = scope.get("path_params", {}).get(ADDRESSED)
        if token is None:
            return None
        try:
            self._manager._lifespan_state.episodes.at(token)  # noqa: SLF001  what the lifespan gave: a `ServerRun`
        except ConfigError as error:
            answer = JSONRPCError(jsonrpc="2.0", id=None, error=refusal(error).error)
            return Response(answer.model_dump_json(by_alias=True), 404, media_type="application/json")
        return None


def _allow_idle(transport: StreamableHTTPServerTransport, seconds: float) -> None:
    """Say how long a session may go without a request; the SDK takes one time for all of a session's life."""
    transport._idle_timeout = seconds  # noqa: SLF001
    if transport.idle_scope is not None and not transport._requests_in_flight:  # noqa: SLF001
        transport.idle_scope.deadline = anyio.current_time() + seconds


def make_app(server: EnvironmentServer, policy: Policy, *, path: str, stateless: bool) -> ServedApp:
    """Make the ASGI application of a server."""
    manager = StreamableHTTPSessionManager(
        app=server.lowlevel,
        stateless=stateless,
        session_idle_timeout=server.episode_ttl,
        max_request_body_size=server.max_body,
        max_sessions=server.max_sessions,
    )
    endpoint = Endpoint(manager, server.episode_ttl)
    if server.store is None:
        return served(routes(path, WholeRequest(endpoint, server.max_body, BODY_SECONDS), policy), policy, manager.run)
    forward = Forward(endpoint, server.store, server.max_body)
    whole = WholeRequest(forward, server.max_body, BODY_SECONDS)
    run = partial(_as_replica, manager, Router(routes("/", endpoint, None)), forward, server.store)
    return served(routes(path, whole, policy), policy, run)


def routes(path: str, endpoint: ASGIApp, policy: Policy | None) -> list[Route]:
    """Lead to an endpoint from its path and from the addresses of its episodes, past what a policy refuses."""
    address = episode_url(path, f"{{{ADDRESSED}}}")
    if policy is None:
        return [Route(path, endpoint), Route(address, endpoint)]
    return [
        Route(path, Guard(endpoint, policy)),
        Route(address, Guard(endpoint, evolve(policy, is_secret=True))),
    ]


def served(routes: Sequence[Route], policy: Policy, run: _Run) -> ServedApp:
    """Make the ASGI application of these routes; `run` is its lifespan."""
    app = ServedApp(routes=routes, middleware=_cors(policy.origins), lifespan=lambda _: run())
    app.run = run
    return app


@asynccontextmanager
async def _as_replica(
    manager: StreamableHTTPSessionManager, app: ASGIApp, forward: Forward, store: EpisodeStore
) -> AsyncIterator[None]:
    async with manager.run(), store.joined(app):
        try:
            yield
        finally:
            await forward.aclose()


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    """Let web pages of these origins read answers. There is no CORS unless somebody names them."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["mcp-session-id", "mcp-protocol-version"],
        )
    ]


async def serve(app: ServedApp, host: str, port: int) -> None:
    """Serve an application with uvicorn until cancelled.

    Raises:
        ConfigError: The address cannot be bound.
    """
    with bind(host, port) as listener:
        await serve_on(app, listener, lifespan="on")


async def serve_on(app: ASGIApp, listener: socket.socket, *, lifespan: Literal["on", "off"] = "off") -> None:
    """Serve an application on a socket with uvicorn until cancelled.

    Raises:
        ConfigError: The event loop is not asyncio's.
    """
    import uvicorn

    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigError("HTTP is served with uvicorn, which needs asyncio's event loop; run on that") from error

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan=lifespan,
        ws="none",
        timeout_graceful_shutdown=CLOSE_SECONDS,
        timeout_keep_alive=KEEP_SECONDS,
    )
    server = uvicorn.Server(config)
    # Who runs this decides what signals mean.
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_when_cancelled, server)
        tasks.start_soon(_drop_stuck, server)
        with anyio.CancelScope(shield=True):  # uvicorn stops by a flag, and then closes its connections in order
            await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()


async def _stop_when_cancelled(server: uvicorn.Server) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        server.should_exit = True


async def _drop_stuck(server: uvicorn.Server) -> None:
    """Drop connections that nothing happens on: uvicorn would keep them, and what they do not read, for ever."""
    before: dict[Any, object] = {}
    while True:
        await anyio.sleep(STUCK_SECONDS)
        now = {connection: _standstill(connection) for connection in server.server_state.connections}
        for connection, standstill in now.items():
            if standstill is not None and before.get(connection) == standstill:
                connection.transport.abort()
        before = now


def _standstill(connection: Any) -> object:  # noqa: ANN401  one of uvicorn's protocols
    """Say where a connection stands that waits for its client, to ask or to read; None while it waits for us."""
    unread, cycle = connection.transport.get_write_buffer_size(), connection.cycle
    return (cycle, unread) if unread or cycle is None or cycle.response_complete else None


def bind(host: str, port: int) -> socket.socket:
    """Make the socket of an address.

    Raises:
        ConfigError: It cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, though it is the only one: asyncio sends small answers at once only on sockets that say so.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: the system asks after clients that vanished without a word, and hangs up.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        msg = f"cannot serve on {host}:{port}: {error.strerror or error}; choose another port"
        raise ConfigError(msg) from error
    return listener
