"""What a person types at a running environment: tools to list and to call."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Protocol

from hud_mcp.commands.console import say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from hud_core.model.tools import Tool, ToolResult

HELP = """\
  TOOL {"argument": value}   call a tool; without arguments, just its name
  tools                      list the tools"""
_CALL = re.compile(r"(?:call\s+)?([\w.-]+)\s*(\{.*)?", re.DOTALL)


class HasTools(Protocol):
    """What has tools: a session, or an evaluation's context."""

    async def list_tools(self) -> Sequence[Tool]:
        """List them."""

    async def call_tool(self, call: str, /, **arguments: Any) -> ToolResult:
        """Call one."""


async def read(lines: AsyncGenerator[str]) -> str:
    """Read a line; the end of the input means to quit."""
    if sys.stdin.isatty():
        say("> ", end="")
    return (await anext(lines, "quit")).strip()


async def list_tools(environment: HasTools) -> None:
    """Print the tools, with the names of their arguments."""
    tools = await environment.list_tools()
    for tool in tools:
        arguments = ", ".join(tool.input_schema.get("properties", {}))
        say(f"  {tool.name}({arguments})  {(tool.description.splitlines() or [''])[0]}".rstrip())
    if not tools:
        say("  (no tools)")


async def call(environment: HasTools, text: str, usage: str) -> None:
    """Call the tool that a line names, and print its result; or print what may be written instead."""
    match = _CALL.fullmatch(text)
    if match is None:
        say(f"what is {text!r}? you can write:\n{usage}")
        return
    try:
        arguments = json.loads(match[2] or "{}")
    except ValueError as error:
        say(f"the arguments of {match[1]} are no JSON: {error}")
        return
    result = await environment.call_tool(match[1], **arguments)
    say(f"{'error: ' if result.is_error else ''}{result.text or '(no text)'}")
