"""Computer tools whose every result shows the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from hud_core.model.content import ImageContent
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_core.environment.session import Toolbox
    from hud_core.model.tools import Tool, ToolResult


class Screened:
    """Tools of which the computers always give a screenshot: the model takes nothing else of them, not even an error.

    Args:
        tools: The toolbox.
        computers: Names of the tools that operate a screen, and what OpenAI calls each.
    """

    def __init__(self, tools: Toolbox, computers: Mapping[str, str]) -> None:
        self._tools = tools
        self._computers = computers

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools."""
        return await self._tools.list_tools()

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool; take a picture of the screen if it is a computer and gave none."""
        result = await self._tools.call_tool(call)
        if call.name not in self._computers or _pictures(result):
            return result
        action = {"type": "screenshot"}
        is_batched = self._computers[call.name] == "computer"
        shot = await self._tools.call_tool(ToolCall(call.name, {"actions": [action]} if is_batched else action))
        return evolve(result, content=(*result.content, *_pictures(shot)))


def _pictures(result: ToolResult) -> list[ImageContent]:
    return [block for block in result.content if isinstance(block, ImageContent)]
