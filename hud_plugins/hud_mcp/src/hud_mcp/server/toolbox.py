"""A toolbox as an MCP server of its own: for an agent that is a program, and takes its tools over MCP."""

from __future__ import annotations

import itertools
import math
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import mcp_types as types
from attrs import field, frozen
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.routing import Route

from hud_core import __version__
from hud_core.errors import BackendError
from hud_core.model.tools import ToolCall
from hud_mcp.server.bodies import BODY_SECONDS, WholeRequest
from hud_mcp.server.convert import mcp_result, mcp_tool
from hud_mcp.server.guard import Guard, Policy
from hud_mcp.server.http import Endpoint, bind, serve_on, served
from hud_mcp.server.refusals import refusal
from hud_mcp.wire import BEARER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mcp.server.context import ServerRequestContext

    from hud_core.environment.session import Toolbox

    Context = ServerRequestContext[Any, Any]

T = TypeVar("T")

HOST, PATH = "127.0.0.1", "/mcp"
MAX_BODY = 4 * 1024 * 1024


@frozen
class ToolboxAddress:
    """Where a toolbox is served, and what its client must show."""

    url: str
    token: str = field(repr=False)
    """The bearer token. Who has it can call the tools."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def command(self) -> list[str]:
        """The same as a server on stdin and stdout, for clients that start theirs; it needs `environment`."""
        return [sys.executable, "-m", "hud_mcp.bridge", self.url]

    @property
    def environment(self) -> dict[str, str]:
        """The variable that `command` needs, in which the token is."""
        return {BEARER_VARIABLE: self.token}


@asynccontextmanager
async def serve_toolbox(toolbox: Toolbox, *, name: str = "tools") -> AsyncIterator[ToolboxAddress]:
    """Serve a toolbox over HTTP on this machine, for as long as the block lasts.

    What is served is what the agent of a rollout may use and no more: the tools that the toolbox shows. There are no
    scenarios, no prompts and no resources. Clients of both protocol eras are served; each call is in the rollout's
    record, as if the agent had made it in this process.

    Args:
        toolbox: What an agent's ``run`` is given.
        name: What clients are told the server is called.

    Returns:
        The address, with a port and a token that are new each time.

    Raises:
        ConfigError: There is no port to bind, or the event loop is not asyncio's.
        BackendError: The environment broke during a call: the block is cancelled, as no tool will work any more.
    """
    surface = _Surface(toolbox)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(surface.until_broken)
            async with _over_http(surface.server(name), secrets.token_urlsafe(32)) as address:
                try:
                    yield address
                finally:
                    surface.end()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # what happened in the block is the caller's, and raised as it is
        error = surface.failure or _first(group)
        raise error from error.__cause__


@asynccontextmanager
async def _over_http(server: Server[Any], token: str) -> AsyncIterator[ToolboxAddress]:
    manager = StreamableHTTPSessionManager(app=server, session_idle_timeout=None)  # agents may think for long
    endpoint = WholeRequest(Endpoint(manager, math.inf), MAX_BODY, BODY_SECONDS)
    policy = Policy(token=token)
    app = served([Route(PATH, Guard(endpoint, policy))], policy, manager.run)
    with bind(HOST, 0) as listener:
        listener.listen()  # clients that are there before uvicorn wait for it
        async with anyio.create_task_group() as tasks:
            async with manager.run():
                tasks.start_soon(serve_on, app, listener)
                yield ToolboxAddress(f"http://{HOST}:{listener.getsockname()[1]}{PATH}", token)
            tasks.cancel_scope.cancel()


class _Surface:
    """Answers the requests of a toolbox's clients.

    Args:
        toolbox: What is served.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._broken = anyio.Event()
        self._numbers = itertools.count(1)
        self._calls: set[anyio.CancelScope] = set()
        self._has_ended = False
        self.failure: Exception | None = None
        """What broke the environment."""

    def server(self, name: str) -> Server[Any]:
        """Make the SDK's server of these answers."""
        return Server(
            name,
            version=__version__,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            get_tool_input_schema=lambda _: None,  # the SDK would list the tools at each call
        )

    async def until_broken(self) -> None:
        """Wait until the environment breaks, and raise that."""
        await self._broken.wait()
        assert self.failure is not None  # noqa: S101  it is set before the event
        raise self.failure

    def end(self) -> None:
        """End the calls under way: no tool is to run when the rollout has ended."""
        self._has_ended = True
        for scope in self._calls:
            scope.cancel()

    async def list_tools(self, _: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """List the tools that the agent may call."""
        del params
        tools = await self._answered(self._toolbox.list_tools)
        return types.ListToolsResult(tools=[mcp_tool(tool) for tool in tools])

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Call a tool."""
        call = ToolCall(params.name, params.arguments or {}, id=f"mcp-{next(self._numbers)}")
        result = await self._answered(lambda: self._toolbox.call_tool(call))
        return mcp_result(result, objects_only=ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS)

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the toolbox, and wait no longer than the rollout lasts."""
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                if not self._has_ended:
                    return await ask()
            except Exception as error:  # tools that fail are results: it is the environment that broke
                self.failure = self.failure or error
                self._broken.set()
                raise refusal(error) from error
            finally:
                self._calls.discard(scope)
        raise refusal(BackendError("the tools are served no more: the rollout has ended"))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
