"""A1: agents that make 20 model calls each at 200 ms, and what one call costs, through the SDK and over real sockets.

The endpoint is a process of its own, so that only the agents' CPU counts. The limit is the same conversations by the
SDK's own method in a bare loop.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
from letters import Row, show

from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent
from hud_openai import OpenAIChatAgent

STUB = Path(__file__).parents[1] / "plugins" / "hud_openai" / "stub_endpoint.py"
CALLS = 20
LATENCY = 0.2
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on"),)),))


def echo(text: str) -> str:
    """Say a text again."""
    return text


def measure(agents: int = 100) -> list[Row]:
    """Measure the agents, and the same conversations by the SDK alone."""
    with endpoint(LATENCY) as url:
        slowdown, cpu = anyio.run(_timed, _ours(url), agents)
        sdk_slowdown, sdk_cpu = anyio.run(_timed, _sdk(url), agents)
    return [
        Row("A1", "CPU of a model call", cpu, "ms", 0.9, sdk_cpu),
        Row(
            "A1",
            f"time of {agents} agents with {CALLS} model calls, over the ideal",
            slowdown,
            "",
            1 / 0.9,
            sdk_slowdown,
        ),
    ]


@contextlib.contextmanager
def endpoint(latency: float) -> Iterator[str]:
    """Run the stub endpoint in a process of its own."""
    command = [sys.executable, str(STUB), "--delay", str(latency), "--turns", str(CALLS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


Attempt = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Attempt]:
    function = ToolFunction(echo, blocking=False)
    toolbox = Toolbox(LocalTools({"echo": function}))
    async with OpenAIChatAgent.create(base_url=url, model="m") as agent:
        yield lambda: agent.run(PROMPT, toolbox, max_steps=CALLS)


@contextlib.asynccontextmanager
async def _sdk(url: str) -> AsyncIterator[Attempt]:
    import openai

    tool = ToolFunction(echo).tool
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}

    async with openai.AsyncOpenAI(base_url=url, api_key="x") as client:

        async def attempt() -> None:
            messages = [{"role": "user", "content": "go on"}]
            for _ in range(CALLS):
                completion = await client.chat.completions.create(
                    model="m",
                    messages=messages,  # type: ignore[arg-type]
                    tools=[{"type": "function", "function": function}],  # type: ignore[typeddict-item]
                )
                message = completion.choices[0].message
                messages.append(message.model_dump(exclude_none=True))
                messages += [
                    {"role": "tool", "tool_call_id": call.id, "content": "on"} for call in message.tool_calls or ()
                ]

        yield attempt


async def _timed(opened: contextlib.AbstractAsyncContextManager[Attempt], agents: int) -> tuple[float, float]:
    """Run the attempts at once; give the time over the ideal one, and the CPU milliseconds of one call."""
    async with opened as attempt:
        await attempt()  # imports, and the first connection
        wall, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(agents):
                tasks.start_soon(attempt)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / (CALLS * LATENCY), cpu / (agents * CALLS) * 1e3


if __name__ == "__main__":
    show(measure())
