"""Tools that are Python functions, and the live set of them that one session calls."""

from __future__ import annotations

import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from hud_core.environment.session import unknown_tool
from hud_core.environment.signature import Signature
from hud_core.environment.values import tool_result
from hud_core.errors import ArgumentError, BackendError, ToolError, describe
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hud_core.environment.session import Tools

current_tools: contextvars.ContextVar[Tools | None] = contextvars.ContextVar("hud_tools", default=None)
"""The tools of the rollout whose scenario or tool code is running: what ``env.call_tool`` reaches."""


class ToolFunction:
    """A Python function as a tool: its description and its strict arguments.

    Args:
        function: Sync functions run in a worker thread unless `blocking` is false.
        blocking: Whether a sync function may block; false runs it on the event loop, which is faster.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        meta: dict[str, Any] | None = None,
        blocking: bool = True,
    ) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__.lower())
        self.signature = Signature(f"tool {self.name!r}", function)
        self.tool = Tool(
            name=self.name,
            description=self.signature.description if description is None else description,
            input_schema=self.signature.schema,
            meta=meta or {},
        )
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
        self._in_thread = blocking and not is_async

    async def call(self, call: ToolCall) -> ToolResult:
        """Call the function; whatever it raises is a result with `is_error`."""
        try:
            arguments = self.signature.bind(call.arguments)
            value = await self._run(arguments)
            if inspect.isawaitable(value):
                value = await value
            return tool_result(value)
        except BackendError:
            raise
        except (ArgumentError, ToolError) as error:
            return ToolResult.error(str(error), call.id)
        except Exception as error:  # noqa: BLE001  a tool's bug is the agent's to read, never the rollout's end
            return ToolResult.error(f"tool {self.name!r} failed: {describe(error)}", call.id)

    async def _run(self, arguments: dict[str, Any]) -> Any:
        if not self._in_thread:
            return self.function(**arguments)
        run = functools.partial(self.function, **arguments)
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)


class LocalTools:
    """The tool functions of one session. Holds the functions and nothing else: no scenario, no session."""

    __slots__ = ("_functions", "_hidden")

    def __init__(self, functions: Mapping[str, ToolFunction]) -> None:
        self._functions = functions
        self._hidden: frozenset[str] = frozenset()

    def hide(self, names: frozenset[str]) -> None:
        """Leave tools out of the list, as the running scenario asks; scenario code still reaches them."""
        self._hidden = names

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools that the running scenario shows."""
        return [function.tool for name, function in self._functions.items() if name not in self._hidden]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool function, with this session's tools behind ``env.call_tool``."""
        function = self._functions.get(call.name)
        if function is None or (call.name in self._hidden and current_tools.get() is not self):
            return unknown_tool(call, [name for name in self._functions if name not in self._hidden])
        token = current_tools.set(self)
        try:
            return await function.call(call)
        finally:
            current_tools.reset(token)
