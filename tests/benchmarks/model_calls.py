"""What calls of models cost: time and CPU (A1), memory while they wait (A2), and an endpoint that refuses (A3).

The endpoint is a process of its own, so that only the agents' CPU counts; where there are two cores, each has one. The
limit of A1 is requests of the same length over bare sockets, which nobody makes and whose replies nobody reads; with a
client of the SDK it is the same conversations by the SDK's own method in a bare loop, and bare is such a client that
sends requests of the same length, whose answers nobody reads. That of A3 is the time that the answers and the waits
which the endpoint asked for take by themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from letters import Row, show

import hud_local
import hud_openai
from hud_core import Environment, Job, Kernel, Usage, run
from hud_core.agents import Conversation, ModelTurn, ToolLoopAgent
from hud_core.agents.asking import ask
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.events import ModelCalled
from hud_core.testing import MemorySink
from hud_openai import OpenAIAgent, OpenAIChatAgent

STUB = Path(__file__).parents[1] / "plugins" / "hud_openai" / "stub_endpoint.py"
CALLS = 20
LATENCY = 0.2
REFUSED = 0.3
PROMPT = Prompt(messages=(Message(content=(TextContent(text="go on"),)),))

env = Environment("talk")


@env.tool(blocking=False)
def echo(text: str) -> str:
    """Say a text again."""
    return text


@env.scenario()
async def talk():
    answer = yield "go on"
    yield float(answer == "done")


def measure() -> list[Row]:
    """Measure every row of this module."""
    if len(sys.argv) > 1:  # memory is measured in a process of its own
        print(anyio.run(_memory, int(sys.argv[1])))
        sys.exit()
    with endpoint("--delay", str(LATENCY), "--turns", str(CALLS)) as url:
        bare, ours = [[anyio.run(_timed, way(url), agents) for agents in (100, 1_000)] for way in (_sockets, _ours)]
        _, responses_cpu = anyio.run(_timed, _ours(url, OpenAIAgent), 100)
        # from here on the SDK is imported, which costs the others too
        _, given_cpu = anyio.run(_timed, _given(url), 100)
        _, bare_cpu = anyio.run(_timed, _bare(url), 100)
        _, sdk_cpu = anyio.run(_timed, _sdk(url), 100)
        _, sdk_responses_cpu = anyio.run(_timed, _sdk_responses(url), 100)
    what = f"agents with {CALLS} model calls: time over the ideal"
    return [
        Row("A1", "CPU of a model call, 100 agents", ours[0][1], "ms", 0.22, bare[0][1]),
        Row("A1", "CPU of a model call, 1,000 agents", ours[1][1], "ms", 0.22, bare[1][1]),
        Row("A1", f"100 {what}", ours[0][0], "x", 1 / 0.9, bare[0][0]),
        Row("A1", f"1,000 {what}", ours[1][0], "x", 1 / 0.8, bare[1][0]),
        Row("A1", "CPU of a call on the Responses API, 100 agents", responses_cpu, "ms", 0.22, sdk_responses_cpu),
        Row("A1", "CPU of a call with a client of the SDK, 100 agents", given_cpu, "ms", 0.9, sdk_cpu, bare_cpu),
        Row("A1", "what retries, rate limit and price take of a call", metering(), "us", 5),
        Row("A2", "memory of a rollout that waits for an answer, 1,000 live", _memory_of(1_000), "KB", 100),
        Row("A3", "100 agents, 30 % of calls refused: time over that of answers and waits", refused(100), "x", 1 / 0.8),
    ]


@contextlib.contextmanager
def endpoint(*options: str) -> Iterator[str]:
    """Run the stub endpoint in a process of its own."""
    command = [sys.executable, str(STUB), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with apart_from(process):
                yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def apart_from(process: subprocess.Popen[str]) -> Iterator[None]:
    """Keep this process to one core, and another one to the others, where there are several and they can be chosen."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1])
        os.sched_setaffinity(process.pid, cores[1:])
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


# --- A1: time and CPU -------------------------------------------------------------------------------------------------

Attempt = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def _ours(url: str, kind: type[OpenAIChatAgent | OpenAIAgent] = OpenAIChatAgent) -> AsyncIterator[Attempt]:
    function = ToolFunction(echo, blocking=False)
    toolbox = Toolbox(LocalTools({"echo": function}))
    async with kind.create(base_url=url, model="m") as agent:
        yield lambda: agent.run(PROMPT, toolbox, max_steps=CALLS)


@contextlib.asynccontextmanager
async def _given(url: str) -> AsyncIterator[Attempt]:
    import openai

    from hud_http.transport import http_client

    toolbox = Toolbox(LocalTools({"echo": ToolFunction(echo, blocking=False)}))
    async with openai.AsyncOpenAI(base_url=url, api_key="x", http_client=http_client(timeout=60)) as client:
        agent = OpenAIChatAgent.create(openai_client=client, model="m")
        yield lambda: agent.run(PROMPT, toolbox, max_steps=CALLS)


@contextlib.asynccontextmanager
async def _sockets(url: str) -> AsyncIterator[Attempt]:
    where = urlsplit(url)
    head = f"POST {where.path}/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\n"
    requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in _bodies()]

    async def attempt() -> None:
        with socket.create_connection((where.hostname, where.port)) as sock:
            sock.setblocking(False)
            for request in requests:
                sock.send(request)
                await anyio.wait_readable(sock)
                assert sock.recv(65536).endswith(b"}")

    yield attempt


def _bodies() -> list[bytes]:
    """Write the requests of a conversation."""
    function = ToolFunction(echo).tool
    offered = {"name": function.name, "description": function.description, "parameters": function.input_schema}
    call = {"id": "call_0", "type": "function", "function": {"name": "echo", "arguments": '{"text": "on"}'}}
    said = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "on"},
    ]
    body = {"model": "m", "tools": [{"type": "function", "function": offered}]}
    talks = ([{"role": "user", "content": "go on"}, *said * turn] for turn in range(CALLS))
    return [json.dumps({**body, "messages": messages}).encode() for messages in talks]


@contextlib.asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Attempt]:
    import openai

    bodies, form = _bodies(), openai.AsyncAPIResponse[object]
    async with openai.AsyncOpenAI(base_url=url, api_key="x", http_client=openai.DefaultAioHttpClient()) as client:

        async def attempt() -> None:
            for body in bodies:
                response = await client.post("/chat/completions", cast_to=form, content=body)
                await response.read()

        yield attempt


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


@contextlib.asynccontextmanager
async def _sdk_responses(url: str) -> AsyncIterator[Attempt]:
    import openai

    tool = ToolFunction(echo).tool
    function = {"type": "function", "name": tool.name, "parameters": tool.input_schema, "strict": False}

    async with openai.AsyncOpenAI(base_url=url, api_key="x") as client:

        async def attempt() -> None:
            new: list[object] = [{"role": "user", "content": "go on"}]
            previous: str | None = None
            for _ in range(CALLS):
                response = await client.responses.create(
                    model="m",
                    input=new,  # type: ignore[arg-type]
                    tools=[function],  # type: ignore[list-item]
                    previous_response_id=previous,
                )
                previous = response.id
                new = [
                    {"type": "function_call_output", "call_id": item.call_id, "output": "on"}
                    for item in response.output
                    if item.type == "function_call"
                ]

        yield attempt


async def _timed(opened: contextlib.AbstractAsyncContextManager[Attempt], agents: int) -> tuple[float, float]:
    """Run the attempts at once; give the time over the ideal one, and the CPU milliseconds of one call."""
    _allow_files()
    async with opened as attempt:
        await attempt()  # imports, and the first connection
        wall, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(agents):
                tasks.start_soon(attempt)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / (CALLS * LATENCY), cpu / (agents * CALLS) * 1e3


def _allow_files() -> None:
    """Allow as many open sockets as the machine does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Instant(ToolLoopAgent):
    """Has its answer ready."""

    async def respond(self, conversation: Conversation) -> ModelTurn:
        return TURN


TURN = ModelTurn(text="done", usage=Usage(input_tokens=10, output_tokens=1))


def metering(calls: int = 50_000) -> float:
    """CPU microseconds that a call takes longer because it goes through the meter."""

    async def measure() -> float:
        agent, conversation = Instant(model="gpt-4o"), Conversation()
        await ask(agent, conversation)  # reads the prices
        times = []
        for call in (lambda: agent.respond(conversation), lambda: ask(agent, conversation)):
            started = time.process_time()
            for _ in range(calls):
                await call()
            times.append(time.process_time() - started)
        return (times[1] - times[0]) / calls * 1e6

    return min(anyio.run(measure) for _ in range(3))


# --- whole jobs -------------------------------------------------------------------------------------------------------


def _job(url: str, rollouts: int, **options: object) -> Awaitable[Job]:
    return run(
        [talk.task() for _ in range(rollouts)],
        "openai_compatible",
        agent_options={"base_url": url, "model": "m"},
        kernel=Kernel(plugins=[hud_local, hud_openai], autoload=False),
        max_concurrent=rollouts,
        max_steps=CALLS,
        save=False,
        **options,
    )


def _memory_of(rollouts: int) -> float:
    return float(subprocess.check_output([sys.executable, __file__, str(rollouts)]))


async def _memory(rollouts: int) -> float:
    """Kilobytes of one of many rollouts, each of which waits for an answer."""
    import gc

    _allow_files()
    with endpoint("--delay", "0", "--turns", "2") as quick, endpoint("--delay", "600") as silent:
        await _job(quick, 10)  # imports
        gc.collect()
        before = _resident()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_job, silent, rollouts)
            await anyio.sleep(10)
            gc.collect()
            used = (_resident() - before) / rollouts / 1000
            tasks.cancel_scope.cancel()
    return used


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def refused(agents: int) -> float:
    """Run a job against an endpoint that refuses; give its agents' time over that of the answers and waits alone."""
    sink = MemorySink()
    with endpoint("--delay", str(LATENCY), "--turns", str(CALLS), "--refused", str(REFUSED)) as url:
        anyio.run(lambda: _job(url, 1))  # imports
        job = anyio.run(lambda: _job(url, agents, sinks=[sink]))
    assert job.reward == job.coverage == 1.0
    calls = [event for event in sink.events if isinstance(event, ModelCalled)]
    ideal = len(calls) * LATENCY + sum(call.retries for call in calls)
    return sum(rollout.seconds for rollout in job) / ideal


if __name__ == "__main__":
    show(measure())
