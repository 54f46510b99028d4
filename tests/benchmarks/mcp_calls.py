"""M1, M2, M3: tool calls and episodes over MCP, beside the SDK's own client and low-level server with nothing around.

Servers are processes of their own. Those that are compared take turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
from letters import Row, env, show
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_servers import Bare

from hud_core.interfaces import Backend
from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend

SERVERS = str(Path(__file__).with_name("mcp_servers.py"))
ARGUMENTS = {"text": "strawberry", "letter": "r"}
AT_ONCE = 100
ROUNDS = 5

Attempt = Callable[[], Awaitable[object]]
Opened = Callable[[], contextlib.AbstractAsyncContextManager[Attempt]]


# --- ours and theirs, as something to call again and again ------------------------------------------------------------


def ours(backend: Backend, **options: object) -> Opened:
    """A session of ours that is open, to call its tool."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Attempt]:
        async with backend.open(EnvRef("letters", "mcp", options)) as session:
            yield lambda: session.call_tool("count_letter", **ARGUMENTS)

    return opened


def theirs(server: Callable[[], object]) -> Opened:
    """A client of the SDK's that is open, to call the same tool."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Attempt]:
        async with Client(server()) as client:
            yield lambda: client.call_tool("count_letter", ARGUMENTS)

    return opened


@contextlib.contextmanager
def serving(which: str) -> Iterator[tuple[str, int]]:
    """Serve over HTTP in a process of its own; give the URL and the process."""
    command = [sys.executable, SERVERS, which, "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            _until_open(port)
            yield f"http://127.0.0.1:{port}/mcp", process.pid
        finally:
            process.kill()


def _until_open(port: int) -> None:
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    sys.exit("the server does not open its port")


# --- measuring --------------------------------------------------------------------------------------------------------


async def cpu_of(attempt: Attempt, number: int = 1000) -> float:
    """CPU microseconds of one attempt."""
    started = time.process_time()
    for _ in range(number):
        await attempt()
    return (time.process_time() - started) / number * 1e6


async def wall_of(attempt: Attempt, number: int = 200) -> float:
    """The median of the attempts' milliseconds."""
    times = []
    for _ in range(number):
        started = time.perf_counter()
        await attempt()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def process_cpu(pid: int) -> float:
    """CPU seconds of another process so far."""
    return time.clock_gettime((~pid << 3) | 2)  # how Linux names another process's clock


async def in_turn(measure: Callable[[Attempt], Awaitable[float]], *opened: Opened) -> list[float]:
    """Measure several, open at the same time, in turn; the best of each."""
    best = [float("inf")] * len(opened)
    async with contextlib.AsyncExitStack() as stack:
        attempts = [await stack.enter_async_context(one()) for one in opened]
        for attempt in attempts:
            await attempt()
        for _ in range(ROUNDS):
            for index, attempt in enumerate(attempts):
                best[index] = min(best[index], await measure(attempt))
    return best


async def at_once(opened: Opened, pid: int, calls: int = 10) -> tuple[float, float]:
    """CPU microseconds of one call, of the client and of the server: many sessions, open and calling at once."""
    async with contextlib.AsyncExitStack() as stack:
        attempts = [await stack.enter_async_context(opened()) for _ in range(AT_ONCE)]
        await _all(attempts, 1)
        client, server = time.process_time(), process_cpu(pid)
        await _all(attempts, calls)
        client, server = time.process_time() - client, process_cpu(pid) - server
    return client / AT_ONCE / calls * 1e6, server / AT_ONCE / calls * 1e6


async def _all(attempts: list[Attempt], calls: int) -> None:
    async def one(attempt: Attempt) -> None:
        for _ in range(calls):
            await attempt()

    async with anyio.create_task_group() as tasks:
        for attempt in attempts:
            tasks.start_soon(one, attempt)


# --- the rows ---------------------------------------------------------------------------------------------------------


def in_memory() -> list[Row]:
    """M1."""
    call, limit = anyio.run(in_turn, cpu_of, ours(MCPBackend(), object=env), theirs(Bare().server))
    return [Row("M1", "CPU of a tool call in memory", call, "us", 130, limit)]


def over_stdio() -> list[Row]:
    """M2, by a pipe."""
    mine = ours(MCPBackend(), command=sys.executable, args=[SERVERS, "ours", "stdio"])
    other = theirs(lambda: StdioServerParameters(command=sys.executable, args=[SERVERS, "sdk", "stdio"]))
    call, limit = anyio.run(in_turn, wall_of, mine, other)
    return [Row("M2", "a tool call over stdio, p50 wall", call, "ms", 1.2 * limit, limit)]


def over_http(url: str, pid: int, bare_url: str, bare_pid: int) -> list[Row]:
    """M2, by HTTP."""
    mine, other = ours(MCPBackend(), url=url), theirs(lambda: bare_url)
    call, limit = anyio.run(in_turn, wall_of, mine, other)
    tries = [(anyio.run(at_once, mine, pid), anyio.run(at_once, other, bare_pid)) for _ in range(3)]
    (client, server), (client_limit, server_limit) = (min(side, key=sum) for side in zip(*tries, strict=True))
    both, limit_both = client + server, client_limit + server_limit
    return [
        Row("M2", "a tool call over HTTP, p50 wall", call, "ms", 1.2 * limit, limit),
        Row(
            "M2",
            f"CPU of one over HTTP, {AT_ONCE} at once, client and server",
            both,
            "us",
            1.2 * limit_both,
            limit_both,
        ),
        Row("M2", "of which the client's", client, "us", None, client_limit),
        Row("M2", "of which the server's", server, "us", None, server_limit),
    ]


def opening(url: str, bare_url: str) -> list[Row]:
    """M3."""
    backend, context = MCPBackend(), httpx2.create_ssl_context()

    async def open_ours() -> None:
        async with backend.open(EnvRef("letters", "mcp", {"url": url})):
            pass

    async def open_theirs() -> None:
        async with (
            httpx2.AsyncClient(verify=context) as http,
            Client(streamable_http_client(bare_url, http_client=http)),
        ):
            pass

    async def episode() -> None:
        async with backend.open(EnvRef("letters", "mcp", {"url": url})) as session:
            await session.setup("count", ARGUMENTS)
            result = await session.call_tool("count_letter", **ARGUMENTS)
            evaluation = await session.grade(Answer(text=result.text))
        assert evaluation.reward == 1.0

    async def bare_episode() -> None:
        async with (
            httpx2.AsyncClient(verify=context) as http,
            Client(streamable_http_client(bare_url, http_client=http)) as client,
        ):
            prompt = await client.get_prompt("letters:count", ARGUMENTS)
            meta = {"hud/episode": prompt.meta["hud/episode"]}
            await client.call_tool("count_letter", ARGUMENTS, meta=meta)
            # Not by the client's call_tool: that asks for the list of tools first.
            submit = types.CallToolRequestParams(name="_hud_submit", arguments={"answer": "3"}, _meta=meta)
            await client.session.send_request(types.CallToolRequest(params=submit), types.CallToolResult)
            assert '"reward": 1.0' in (await client.read_resource("letters:count", meta=meta)).contents[0].text

    async def turns(measure: Callable[..., Awaitable[float]], number: int, *attempts: Attempt) -> list[float]:
        async def one(attempt: Attempt) -> float:
            return await measure(attempt, number)

        return await in_turn(one, *(lambda attempt=attempt: contextlib.nullcontext(attempt) for attempt in attempts))

    async def as_in_a_job() -> list[float]:
        async with anyio.create_task_group() as backend.tasks:
            opened = await turns(cpu_of, 50, open_ours, open_theirs)
            episodes = await turns(wall_of, 20, episode, bare_episode)
            await backend.aclose()
        return [*opened, *episodes]

    opened, limit, whole, bare = anyio.run(as_in_a_job)
    return [
        Row("M3", "CPU of opening and closing an HTTP session, the client's", opened / 1e3, "ms", 2, limit / 1e3),
        Row("M3", "a whole episode over HTTP, p50 wall", whole, "ms", 20, bare),
    ]


def measure() -> list[Row]:
    """Measure all of them."""
    with serving("ours") as (url, pid), serving("sdk") as (bare_url, bare_pid):
        http = over_http(url, pid, bare_url, bare_pid)
        return [*in_memory(), *over_stdio(), *http, *opening(url, bare_url)]


if __name__ == "__main__":
    show(measure())
