"""What a model call on Anthropic's Messages API costs in a conversation of twenty turns, through the SDK and sockets.

The endpoint has threads of its own, so that only the agent's CPU counts. The limit is the same conversation by the
SDK's own streams in a bare loop; bare is the SDK that sends the agent's own requests again.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from letters import Row, in_turns, show

from hud_anthropic import ClaudeAgent
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent

if TYPE_CHECKING:
    from stub_messages import StubMessages

sys.path.append(str(Path(__file__).parents[1] / "plugins" / "hud_anthropic"))
CALLS = 20
MODEL = "claude-m"
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on " * 300),)),))

Attempt = Callable[[], Awaitable[object]]


def echo(text: str) -> str:
    """Say a text again."""
    return text


def measure() -> list[Row]:
    """Measure the agent, the same requests through the SDK, and the same conversation by the SDK alone."""
    from stub_messages import StubMessages, call

    with StubMessages(call(("echo", {"text": "on " * 300}), said="so " * 100)) as endpoint:
        ours, bare, sdk = (spent / CALLS for spent in anyio.run(_measured, endpoint))
    return [Row("A1", f"CPU of a call of Claude, conversation of {CALLS} turns", ours, "ms", 0.9, sdk, bare)]


async def _measured(endpoint: StubMessages) -> list[float]:
    async with _ours(endpoint.url) as ours, _sdk(endpoint.url) as sdk:
        await ours()
        requests = [json.dumps(body).encode() for body in endpoint.bodies]
        async with _bare(endpoint.url, requests) as bare:
            return await in_turns(ours, bare, sdk)


@contextlib.asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Attempt]:
    toolbox = Toolbox(LocalTools({"echo": ToolFunction(echo, blocking=False)}))
    async with ClaudeAgent.create(base_url=url, api_key="x", model=MODEL) as agent:
        yield lambda: agent.run(PROMPT, toolbox, max_steps=CALLS)


@contextlib.asynccontextmanager
async def _bare(url: str, requests: list[bytes]) -> AsyncIterator[Attempt]:
    import anthropic
    import httpx2

    async def attempt() -> None:
        for request in requests:
            await client.post("/v1/messages", cast_to=httpx2.Response, content=request)

    http_client = anthropic.DefaultAioHttpClient()
    async with anthropic.AsyncAnthropic(base_url=url, api_key="x", http_client=http_client) as client:
        yield attempt


@contextlib.asynccontextmanager
async def _sdk(url: str) -> AsyncIterator[Attempt]:
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
        yield attempt


if __name__ == "__main__":
    show(measure())
