"""The tools of a server, as a session's tools."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, MCPError, types
from pydantic import ValidationError

from hud_core.environment.session import unknown_tool
from hud_core.errors import BackendError
from hud_core.model.tools import ToolResult
from hud_mcp import wire
from hud_mcp.callers import open_caller
from hud_mcp.client.connection import Connection, ConnectionLostError, text_of
from hud_mcp.client.convert import RESULT, result_from, tool_from
from hud_mcp.client.lists import MAX_PAGES
from hud_mcp.client.publications import MCPPublications

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcp.types import RequestParamsMeta

    from hud_core.environment.session import Told
    from hud_core.model.tools import Tool, ToolCall

TELL_SECONDS = 1.0
"""How long a client that waits for a tool may take to hear of its progress."""


class MCPTools:
    """The tools of one server. Knows the episode's handle, and not the harness's capability.

    Args:
        connection: The way to the server.
    """

    __slots__ = ("_allowed", "_connection", "_excluded", "episode")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._excluded: tuple[str, ...] = ()
        self._allowed: tuple[str, ...] = ()
        self.episode: str | None = None
        """The handle of the running episode, where the server gave one."""

    @property
    def publications(self) -> MCPPublications:
        """The server's prompts and resources."""
        return MCPPublications(self._connection, self.meta)

    @property
    def revision(self) -> int:
        """A number that grows when the server says that its list of tools changed."""
        return self._connection.follow()

    def follow(self, told: Told) -> None:
        """Have `told` called when the server says that one of its lists changed."""
        self._connection.follow(told)

    def hide(self, excluded: Iterable[str], allowed: Iterable[str] = ()) -> None:
        """Leave out tools that match a pattern of `excluded` and none of `allowed`, as the running scenario asks."""
        self._excluded, self._allowed = tuple(excluded), tuple(allowed)

    async def list_tools(self) -> Sequence[Tool]:
        """List the server's tools, all pages of them.

        Raises:
            BackendError: The server is gone, or gives no list.
        """
        try:
            tools = await self._connection.ask(self._list, repeatable=True)
        except MCPError as error:
            if error.code == types.METHOD_NOT_FOUND:  # it has prompts or resources only
                return []
            msg = f"{self._connection} lists no tools: {text_of(error)}"
            raise BackendError(msg) from error
        except ValidationError as error:
            msg = f"{self._connection} lists tools that break the protocol: {error}"
            raise BackendError(msg) from error
        return [tool_from(tool) for tool in tools if not self._is_hidden(tool.name)]

    async def _list(self, client: Client) -> list[types.Tool]:
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor, meta=self.meta())
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        return tools

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool, once: a call that gets lost is never sent again.

        Raises:
            ConnectionLostError: The connection broke.
        """
        if self._is_hidden(call.name):
            return unknown_tool(call, [tool.name for tool in await self.list_tools()])
        self._connection.is_bound |= self.episode is None
        try:
            return result_from(await self._connection.ask(lambda client: self._call(client, call)), call.id)
        except ConnectionLostError:
            raise
        except MCPError as error:
            return ToolResult.error(f"tool {call.name!r}: {text_of(error)}", call.id)
        except (TypeError, ValueError) as error:  # arguments or a result that the protocol cannot carry
            return ToolResult.error(f"tool {call.name!r}: {error}", call.id)

    async def _call(self, client: Client, call: ToolCall) -> dict[str, Any]:
        """Send the call. Not by `Client.call_tool`: that refuses results that do not fit their schema."""
        params = types.CallToolRequestParams(name=call.name, arguments=call.arguments, _meta=self.meta())

        caller = open_caller()  # the SDK calls `tell` in a task of its own

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            of = f"{progress:g}" if total is None else f"{progress:g}/{total:g}"
            self._connection.log(f"{call.name}: {of} {message or ''}".rstrip())
            if caller is not None and caller.is_open:
                with anyio.move_on_after(TELL_SECONDS):  # one that does not read must not hold up the connection
                    await caller.progress(progress, total, message)

        request = types.CallToolRequest(params=params)
        result: dict[str, Any] = await client.session.send_request(request, RESULT, progress_callback=tell)
        return result

    def meta(self) -> RequestParamsMeta | None:
        """Give what says which episode a request belongs to."""
        if self.episode is None:
            return None
        meta: RequestParamsMeta = {}
        meta[wire.EPISODE] = self.episode  # type: ignore[literal-required]
        return meta

    def _is_hidden(self, name: str) -> bool:
        return bool(self._excluded) and _matches(name, self._excluded) and not _matches(name, self._allowed)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
