"""Calls of a rollout's tools from a framework's code, which may run on another thread, or on another event loop."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from hud_core.environment.calls import portable_tools
from hud_core.environment.formats import ToolFormat, format_result
from hud_core.errors import ConfigError, ToolError
from hud_core.model.tools import ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.environment.offers import OffersTools
    from hud_core.model.tools import Tool


class OfferedTool:
    """One tool, and how it is called from wherever a framework calls it.

    A rollout lives on one event loop. The tool remembers the one that it was made on, and its calls are made there.

    Args:
        source: What has the tool.
        tool: The tool, under a name that every framework takes.
        name: The tool's own name.
    """

    def __init__(self, source: OffersTools, tool: Tool, name: str) -> None:
        self.tool = tool
        self._source = source
        self._name = name
        self._loop = _current_loop()

    async def call(self, arguments: Mapping[str, Any]) -> ToolResult:
        """Call the tool; what it does wrong is a result with `is_error`."""
        if self._loop is None or self._loop == _current_loop():
            return await self._called(arguments)
        elsewhere = partial(anyio.from_thread.run, self._called, arguments, token=self._loop)
        return await anyio.to_thread.run_sync(elsewhere, abandon_on_cancel=True)

    def call_and_wait(self, arguments: Mapping[str, Any], instead: str) -> ToolResult:
        """Call the tool from code that is not async.

        Args:
            arguments: The tool's.
            instead: What to write on an event loop's own thread.

        Raises:
            ConfigError: This is an event loop's own thread, which cannot wait for what it has to do itself.
        """
        if _current_loop() is not None:
            raise ConfigError(
                f"tool {self.tool.name!r} was called without await on the event loop's own thread, which would wait "
                f"for itself for ever: {instead}, or run what calls it with anyio.to_thread.run_sync(...)"
            )
        if self._loop is None:
            return anyio.run(self._called, arguments)
        return anyio.from_thread.run(self._called, arguments, token=self._loop)

    async def _called(self, arguments: Mapping[str, Any]) -> ToolResult:
        try:
            result: ToolResult = await self._source.call_tool(ToolCall(self._name, dict(arguments)))
        except ToolError as error:  # how an environment, and no rollout, says that a tool failed
            return ToolResult.error(str(error))
        return result


def offered_tools(source: OffersTools) -> list[OfferedTool]:
    """Give the tools of a rollout or an environment."""
    tools, names = portable_tools(source.as_tools())
    return [OfferedTool(source, tool, names[tool.name]) for tool in tools]


def text_of(result: ToolResult) -> str:
    """Give a result as text; what is no text is named."""
    told: str = format_result(result, ToolCall(""), ToolFormat.OPENAI)["content"]
    return told


def framework(module: str, package: str, extra: str) -> Any:  # noqa: ANN401  a module of somebody else's
    """Import a framework.

    Raises:
        ImportError: It is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith((error.name or "?").partition(".")[0]):
            raise  # something that the framework itself needs is missing
        msg = f"{package} is not installed: pip install 'hud-frameworks[{extra}]'"
        raise ImportError(msg, name=error.name) from error


def _current_loop() -> anyio.lowlevel.EventLoopToken | None:
    """Give the event loop that runs this code; None where none does."""
    try:
        return anyio.lowlevel.current_token()
    except RuntimeError:  # NoEventLoopError of anyio, and what older ones raise
        return None
