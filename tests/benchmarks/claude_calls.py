"""What a model call on Anthropic's Messages API costs in a conversation of twenty turns, through the SDK and sockets.

The endpoint has threads of its own, so that only the agent's CPU counts. The limit is the same conversation by the
SDK's own streams in a bare loop.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from letters import Row, show

from hud_anthropic import ClaudeAgent
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent

sys.path.append(str(Path(__file__).parents[1] / "plugins" / "hud_anthropic"))
CALLS = 20
REPEATS = 5
MODEL = "claude-m"
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on " * 300),)),))


def echo(text: str) -> str:
    """Say a text again."""
    return text


def measure() -> list[Row]:
    """Measure the agent, and the same conversation by the SDK alone."""
    from stub_messages import StubMessages, call

    with StubMessages(call(("echo", {"text": "on " * 300}), said="so " * 100)) as endpoint:
        ours, sdk = anyio.run(_ours, endpoint.url), anyio.run(_sdk, endpoint.url)
    return [Row("A1", f"CPU of a call of Claude, conversation of {CALLS} turns", ours, "ms", None, sdk)]


async def _ours(url: str) -> float:
    toolbox = Toolbox(LocalTools({"echo": ToolFunction(echo, blocking=False)}))
    async with ClaudeAgent.create(base_url=url, api_key="x", model=MODEL) as agent:
        return await _timed(lambda: agent.run(PROMPT, toolbox, max_steps=CALLS))


async def _sdk(url: str) -> float:
    import anthropic

    tool = ToolFunction(echo).tool
    tools: Any = [{"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}]

    async def attempt() -> None:
        messages: list[Any] = [{"role": "user", "content": PROMPT.text}]
        for _ in range(CALLS):
            async with client.messages.stream(model=MODEL, max_tokens=9, messages=messages, tools=tools) as stream:
                answer = await stream.get_final_message()
            messages.append({"role": "assistant", "content": answer.content})
            told = {"type": "tool_result", "tool_use_id": answer.content[-1].id, "content": "on " * 300}  # type: ignore[union-attr]
            messages.append({"role": "user", "content": [told]})

    http_client = anthropic.DefaultAioHttpClient()
    async with anthropic.AsyncAnthropic(base_url=url, api_key="x", http_client=http_client) as client:
        return await _timed(attempt)


async def _timed(attempt: Callable[[], Awaitable[object]]) -> float:
    """Give the CPU milliseconds of one call, in the best of some conversations."""
    await attempt()  # imports, and the first connection
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time()
        await attempt()
        best = min(best, (time.thread_time() - began) / CALLS * 1e3)
    return best


if __name__ == "__main__":
    show(measure())
