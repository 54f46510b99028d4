"""What a model call on the Gemini API costs in a conversation of twenty turns, through the SDK and over real sockets.

The endpoint is a thread of its own, so that only the agent's CPU counts. The limit is the same conversation by the
SDK's own types in a bare loop; bare is the SDK that sends the agent's own requests again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from letters import Row, in_turns, show

from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent
from hud_gemini import GeminiAgent

if TYPE_CHECKING:
    from gemini_wire import StubEndpoint

PLUGINS = Path(__file__).parents[1] / "plugins"
sys.path += [str(PLUGINS / "hud_openai"), str(PLUGINS / "hud_gemini")]
CALLS = 20
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on " * 300),)),))

Attempt = Callable[[], Awaitable[object]]


def echo(text: str) -> str:
    """Say a text again."""
    return text


def measure() -> list[Row]:
    """Measure the agent, the same requests through the SDK, and the same conversation by the SDK alone."""
    from gemini_wire import StubEndpoint, call

    with StubEndpoint(call(("echo", {"text": "on " * 300}), text="so " * 100)) as endpoint:
        ours, bare, sdk = (spent / CALLS for spent in anyio.run(_measured, endpoint))
    return [Row("A1", f"CPU of a call of Gemini, conversation of {CALLS} turns", ours, "ms", 0.9, sdk, bare)]


async def _measured(endpoint: StubEndpoint) -> list[float]:
    url = endpoint.url.removesuffix("/v1")
    async with _ours(url) as ours, _sdk(url) as sdk:
        await ours()
        async with _bare(url, list(endpoint.bodies)) as bare:
            return await in_turns(ours, bare, sdk)


@contextlib.asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Attempt]:
    toolbox = Toolbox(LocalTools({"echo": ToolFunction(echo, blocking=False)}))
    async with GeminiAgent.create(base_url=url, api_key="x") as agent:
        yield lambda: agent.run(PROMPT, toolbox, max_steps=CALLS)


@contextlib.asynccontextmanager
async def _bare(url: str, requests: list[Any]) -> AsyncIterator[Attempt]:
    import aiohttp
    from google import genai
    from google.genai import types

    async def attempt() -> None:
        for request in requests:
            config: types.GenerateContentConfigDict = {
                "http_options": {"extra_body": request},
                "should_return_http_response": True,
                "automatic_function_calling": {"disable": True},
            }
            await client.aio.models.generate_content(model="gemini-m", contents=types.Content(), config=config)

    async with aiohttp.ClientSession() as session:
        options = types.HttpOptions(base_url=url, aiohttp_client=session)
        with genai.Client(api_key="x", vertexai=False, http_options=options) as client:
            yield attempt


@contextlib.asynccontextmanager
async def _sdk(url: str) -> AsyncIterator[Attempt]:
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
        yield attempt
    finally:
        await client.aio.aclose()
        client.close()


if __name__ == "__main__":
    show(measure())
