"""Connections of environments that are served or entered: opened again when their server dies or restarts."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp
import pytest
from free_ports import free_port
from mcp import Client

from hud_core import Environment, ToolError
from hud_core.environment.lasting import LastingSession
from hud_core.testing.processes import descendants, is_running
from hud_mcp.client import connection
from hud_mcp.server import EnvironmentServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Call = Callable[..., Awaitable[str]]

SERVER = Path(__file__).parent / "servers" / "everything.py"
GATED = """
import pathlib, runpy, sys
if pathlib.Path(sys.argv[2]).exists():
    sys.exit("the gate is shut")
sys.argv = [sys.argv[1], "stdio"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# On trio, the SDK's HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]

ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # where the loop makes no difference


@asynccontextmanager
async def entered(env: Environment) -> AsyncIterator[Call]:
    """Call an environment's tools by hand."""

    async def call(name: str, /, **arguments: Any) -> str:
        return (await env.call_tool(name, **arguments)).text

    async with env:
        yield call


@asynccontextmanager
async def served(env: Environment) -> AsyncIterator[Call]:
    """Call an environment's tools as a client of its server."""
    async with Client(EnvironmentServer(env).lowlevel) as client:

        async def call(name: str, /, **arguments: Any) -> str:
            result = await client.call_tool(name, arguments)
            if result.is_error:
                raise ToolError(result.content[0].text)
            return result.content[0].text

        yield call


def environment(gate: Path | None = None) -> Environment:
    """Connect to two processes, and count how often the environment itself is begun and ended."""
    args = ["-c", GATED, str(SERVER), str(gate)] if gate else [str(SERVER), "stdio"]
    first = {"command": sys.executable, "args": args, "env": {"GIVEN": "secret-1"}}
    env = Environment("near").connect_mcp({"one": first}, prefix="one")
    env.hooks = []
    env.initialize(lambda: env.hooks.append("began"))
    env.shutdown(lambda: env.hooks.append("ended"))
    return env


async def kill(process: str) -> None:
    """Kill a server that nobody calls just now, and wait until its end is known here."""
    os.kill(int(process), signal.SIGKILL)
    with anyio.fail_after(60):
        while not any(session._session is not None and session._session.is_lost for session in lasting()):
            await anyio.sleep(0.01)


def lasting() -> list[LastingSession]:
    return [found for found in gc.get_objects() if isinstance(found, LastingSession)]


@ON_ASYNCIO
@pytest.mark.parametrize("using", [entered, served])
async def test_a_process_that_died_unused_is_started_again(using: Any) -> None:
    before = descendants()
    env = environment()
    env.connect_mcp({"two": {"command": sys.executable, "args": [str(SERVER), "stdio"]}}, prefix="two")
    async with using(env) as call:
        first, other = await call("one_process"), await call("two_process")
        await kill(first)
        second = await call("one_process")
        assert second != first
        assert await call("one_variable", name="GIVEN") == "secret-1"
        assert await call("two_process") == other
        assert env.hooks == ["began"]
    assert env.hooks == ["began", "ended"]
    assert not {process for process in descendants() - before if is_running(process)}


@ON_ASYNCIO
async def test_a_call_under_way_fails_and_the_next_one_goes_on(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with served(environment()) as call:
        process = await call("one_process")
        failures: list[str] = []

        async def sleep() -> None:
            with pytest.raises(ToolError) as caught:
                await call("one_sleep", mark=str(mark))
            failures.append(str(caught.value))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            with anyio.fail_after(60):
                while not mark.exists():
                    await anyio.sleep(0.01)
            os.kill(int(process), signal.SIGKILL)
        assert "connection 'one' of environment 'near' was lost" in failures[0]
        assert "ended by signal 9" in failures[0]
        assert "hello from stderr" in failures[0]
        assert "the next call opens it again" in failures[0]
        async with anyio.create_task_group() as tasks:  # those that come together wait for one and the same
            found: set[str] = set()

            async def ask() -> None:
                found.add(await call("one_process"))

            for _ in range(5):
                tasks.start_soon(ask)
        assert len(found) == 1
        assert found != {process}


@ON_ASYNCIO
async def test_a_process_that_dies_again_and_again_is_waited_for() -> None:
    async with served(environment()) as call:
        for _ in range(10):
            with pytest.raises(ToolError) as caught:
                await call("one_die")
            if "s at the earliest" in str(caught.value):
                break
        assert "it is opened again in" in str(caught.value)
        assert "dying now" in str(caught.value)


@ON_ASYNCIO
async def test_a_process_that_cannot_be_started_again_says_why(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with entered(environment(gate)) as call:
        process = await call("one_process")
        gate.touch()
        await kill(process)
        with pytest.raises(ToolError) as caught:
            await call("one_process")
        assert "connection 'one' of environment 'near' cannot be opened again" in str(caught.value)
        assert "over stdio" in str(caught.value)
        assert "the gate is shut" in str(caught.value)
        assert "secret-1" not in str(caught.value)
        gate.unlink()
        with anyio.fail_after(60):
            while True:
                try:
                    assert await call("one_process") != process
                    break
                except ToolError:
                    await anyio.sleep(0.05)


@ON_ASYNCIO
async def test_leaving_while_it_is_being_opened_again(tmp_path: Path) -> None:
    before = descendants()
    slow = f"if pathlib.Path({str(tmp_path / 'slow')!r}).exists():"
    script = f"import pathlib, sys\n{slow} pathlib.Path({str(tmp_path / 'begun')!r}).touch(); sys.stdin.read()\n"
    args = ["-c", script + GATED, str(SERVER), str(tmp_path / "gate")]
    env = Environment("near").connect_mcp({"one": {"command": sys.executable, "args": args}})
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks, env:
            (tmp_path / "slow").touch()
            await kill((await env.call_tool("process")).text)
            tasks.start_soon(env.call_tool, "process")
            while not (tmp_path / "begun").exists():
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert not {process for process in descendants() - before if is_running(process)}


# --- lists that change ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def hearing(env: Environment, mode: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Serve an environment to a client of an era, and note which lists it is told of."""
    heard: list[str] = []

    async def notice(message: object) -> None:
        heard.append(type(message).__name__)

    async def listen(client: Client) -> None:
        async with client.listen(tools_list_changed=True, prompts_list_changed=True) as changes:
            heard.append("listening")
            async for change in changes:
                await notice(change)

    server = EnvironmentServer(env).lowlevel
    async with (
        Client(server, mode=mode, message_handler=notice) as client,
        anyio.create_task_group() as tasks,
    ):
        if mode == "auto":
            tasks.start_soon(listen, client)
            await until(heard, "listening")
        yield client, heard
        tasks.cancel_scope.cancel()


async def until(heard: list[str], said: str) -> None:
    with anyio.fail_after(60):
        while not any(said in one for one in heard):
            await anyio.sleep(0.01)


@pytest.fixture(scope="module")
def far() -> Iterator[str]:
    """Serve over HTTP, for all tests of this file."""
    port = free_port()
    process = start(port)
    yield f"http://127.0.0.1:{port}/mcp"
    stop(process)


@ON_ASYNCIO
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("auto", "stdio"), ("legacy", "stdio in the early era"), ("auto", "http"), ("legacy", "http")],
)
async def test_clients_hear_that_a_connected_servers_tools_changed(
    ours: str, theirs: str, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "early" in theirs:
        monkeypatch.setattr(connection, "Client", partial(mcp.Client, mode="legacy"))
    env = environment() if "stdio" in theirs else Environment("near").connect_url(far, prefix="one", alias="one")
    async with hearing(env, ours) as (client, heard):
        before = {tool.name for tool in (await client.list_tools()).tools}
        with anyio.fail_after(60):
            while not any("Tool" in one for one in heard):
                await client.call_tool("one_grow", {})  # again: our client may not listen to the server yet
                await anyio.sleep(0.05)
        assert not any("Prompt" in one for one in heard)
        if "http" not in theirs:
            assert {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools} - before == {
                "one_grown"
            }


@ON_ASYNCIO
async def test_clients_hear_of_a_connection_that_was_opened_again() -> None:
    async with hearing(environment(), "legacy") as (client, heard):
        await kill((await client.call_tool("one_process", {})).content[0].text)
        await client.call_tool("one_process", {})
        await until(heard, "ToolListChanged")


# --- over HTTP --------------------------------------------------------------------------------------------------------


def start(port: int) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)], **quiet)
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, "the server did not start"
        time.sleep(0.01)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def told(call: Call, name: str) -> str:
    """Call a tool, and give what it says, or what is wrong."""
    try:
        return await call(name)
    except ToolError as error:
        return str(error)


@ON_ASYNCIO
@pytest.mark.parametrize(("using", "mode"), [(served, "auto"), (entered, "legacy")])
async def test_a_server_that_restarts_is_connected_to_again(
    using: Any, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "Client", partial(mcp.Client, mode=mode))
    port = free_port()
    process = start(port)
    try:
        env = Environment("near").connect_url(f"http://127.0.0.1:{port}/mcp", alias="far")
        async with using(env) as call:
            first = await call("process")
            stop(process)
            process = start(port)
            second = await told(call, "process")
            if "was lost" in second:  # it was under way when the loss was noticed: it fails, the next one does not
                second = await call("process")
            assert second.isdigit()
            assert second != first
            with anyio.fail_after(60):  # what changes there is followed again, too
                while await told(call, "grown") != "grown":
                    await call("grow")
            stop(process)
            with pytest.raises(ToolError, match="connection 'far' of environment 'near' was lost"):
                await call("process")
            process = start(port)
            with anyio.fail_after(60):
                while True:
                    try:
                        await call("process")
                        break
                    except ToolError:
                        await anyio.sleep(0.05)
    finally:
        stop(process)
