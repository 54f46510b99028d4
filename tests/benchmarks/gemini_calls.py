"""What a model call on the Gemini API costs in a conversation of twenty turns, through the SDK and over real sockets.

The endpoint is a thread of its own, so that only the agent's CPU counts. The limit is the same conversation by the
SDK's own types in a bare loop.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from letters import Row, show

from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent
from hud_gemini import GeminiAgent

PLUGINS = Path(__file__).parents[1] / "plugins"
sys.path += [str(PLUGINS / "hud_openai"), str(PLUGINS / "hud_gemini")]
CALLS = 20
REPEATS = 5
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on " * 300),)),))


def echo(text: str) -> str:
    """Say a text again."""
    return text


def measure() -> list[Row]:
    """Measure the agent, and the same conversation by the SDK alone."""
    from gemini_wire import StubEndpoint, call

    with StubEndpoint(call(("echo", {"text": "on " * 300}), text="so " * 100)) as endpoint:
        url = endpoint.url.removesuffix("/v1")
        ours, sdk = anyio.run(_ours, url), anyio.run(_sdk, url)
    return [Row("A1", f"CPU of a call of Gemini, conversation of {CALLS} turns", ours, "ms", None, sdk)]


async def _ours(url: str) -> float:
    toolbox = Toolbox(LocalTools({"echo": ToolFunction(echo, blocking=False)}))
    async with GeminiAgent.create(base_url=url, api_key="x") as agent:
        return await _timed(lambda: agent.run(PROMPT, toolbox, max_steps=CALLS))


async def _sdk(url: str) -> float:
    from google import genai
    from google.genai import types

    tool = ToolFunction(echo).tool
    function = {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.input_schema}
    config: Any = {"tools": [{"function_declarations": [function]}], "automatic_function_calling": {"disable": True}}
    client = genai.Client(api_key="x", vertexai=False, http_options=types.HttpOptions(base_url=url))

    async def attempt() -> None:
        contents = [types.Content(role="user", parts=[types.Part(text=PROMPT.text)])]
        for _ in range(CALLS):
            answer = await client.aio.models.generate_content(model="gemini-m", contents=contents, config=config)  # type: ignore[arg-type]
            assert answer.candidates
            assert answer.candidates[0].content
            contents.append(answer.candidates[0].content)
            told = types.Part.from_function_response(name="echo", response={"output": "on " * 300})
            contents.append(types.Content(role="user", parts=[told]))

    try:
        return await _timed(attempt)
    finally:
        await client.aio.aclose()
        client.close()


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
