"""The agent ``human``: asks whoever sits at the terminal."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import msgspec

from hud_core.errors import AgentError, ConfigError
from hud_core.interfaces import Agent
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.environment.session import Toolbox
    from hud_core.model.content import Prompt
    from hud_core.model.tools import Tool

_CALL = re.compile(r"([\w-]+)\s*(\{.*\})", re.DOTALL)
_HELP = 'Write your answer, or call a tool: NAME {"argument": value}'


class HumanAgent(Agent):
    """Shows a person the prompt and the tools, and reads tool calls and the answer from the terminal.

    Raises:
        ConfigError: There is no terminal.
    """

    name = "human"
    uses_terminal = True

    def __init__(self) -> None:
        if not sys.stdin.isatty():
            msg = "agent 'human' needs a terminal to ask in; use 'scripted' to give answers from a file"
            raise ConfigError(msg)
        self._turn = anyio.Lock()  # one person answers one rollout at a time

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:
        """Ask until there is an answer, or no turn is left."""
        async with self._turn:
            tools = await toolbox.list_tools()
            _say(_introduction(prompt, tools))
            for _ in range(max_steps):
                line = await _read_turn(tools)
                if isinstance(line, str):
                    return Answer(text=line)
                result = await toolbox.call_tool(line)
                _say(f"{'error: ' if result.is_error else ''}{result.text or '(no text)'}")
            return Answer(stop_reason=StopReason.MAX_STEPS)


def _introduction(prompt: Prompt, tools: Sequence[Tool]) -> str:
    parts = ["", *([prompt.system] if prompt.system else []), prompt.text, ""]
    for tool in tools:
        arguments = ", ".join(tool.input_schema.get("properties", {}))
        parts.append(f"  {tool.name}({arguments})  {tool.description.partition(chr(10))[0]}".rstrip())
    if prompt.answer_schema is not None:
        parts.append(f"The answer is JSON: {msgspec.json.encode(prompt.answer_schema).decode()}")
    return "\n".join([*parts, _HELP if tools else "Write your answer"])


async def _read_turn(tools: Sequence[Tool]) -> ToolCall | str:
    """Read a line: a call of a tool that there is, or else the answer."""
    names = [tool.name for tool in tools]
    while True:
        line = await _read_line()
        match = _CALL.fullmatch(line)
        if match is None or match[1] not in names:
            return line
        try:
            return ToolCall(match[1], msgspec.json.decode(match[2], type=dict[str, Any]))
        except msgspec.DecodeError as error:
            _say(f"not JSON, try again: {error}")


async def _read_line() -> str:
    """Read a line without a thread, where the system can: one that waits for a line could not be cancelled."""
    sys.stderr.write("> ")
    sys.stderr.flush()
    if sys.platform == "win32":
        line = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    else:
        await anyio.wait_readable(sys.stdin)
        line = sys.stdin.readline()
    if not line:
        msg = "the terminal was closed before there was an answer"
        raise AgentError(msg)
    return line.strip()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
