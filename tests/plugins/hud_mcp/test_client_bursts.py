"""Hundreds of connections that are opened at once: what waits here is not the server's delay."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import pytest
from mcp.server.mcpserver import MCPServer

from hud_core.errors import BackendError
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MOST_OPENING, MCPBackend

TURN_SECONDS = 0.01
CONNECT_SECONDS = 2.5


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # where the loop makes no difference
async def test_a_burst_does_not_run_into_connect_timeout() -> None:
    turn, opened = anyio.Lock(), 0

    @asynccontextmanager
    async def lifespan(_: object):
        async with turn:  # one client after the other, as a server of one process
            await anyio.sleep(TURN_SECONDS)
        yield

    ref = EnvRef("slow", "mcp", {"object": MCPServer("slow", lifespan=lifespan), "connect_timeout": CONNECT_SECONDS})
    backend, enough = MCPBackend(), anyio.Event()

    async def rollout() -> None:
        nonlocal opened
        async with backend.open(ref) as session:
            await session.list_tools()
            opened += 1
            await enough.wait()

    number = 300
    assert MOST_OPENING * TURN_SECONDS < CONNECT_SECONDS / 2 < CONNECT_SECONDS < number * TURN_SECONDS
    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(rollout)
        with anyio.fail_after(60):
            while opened < number:
                await anyio.sleep(0.01)
        enough.set()


async def test_one_that_never_answers_still_runs_into_it() -> None:
    async def never(_: object):
        await anyio.sleep_forever()
        yield

    ref = EnvRef(
        "dead", "mcp", {"object": MCPServer("dead", lifespan=asynccontextmanager(never)), "connect_timeout": 0.1}
    )
    with pytest.raises(BackendError, match="connect_timeout"):
        async with MCPBackend().open(ref):
            pass
