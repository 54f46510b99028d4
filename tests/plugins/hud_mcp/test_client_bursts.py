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
PATIENCE = 60.0


class Burst:
    """Connections to a server that takes one client after the other, all opened at once."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._opened = 0

    async def open(self, number: int, connect_timeout: float) -> float:
        """Open so many, and give the seconds that it took."""
        server = MCPServer("slow", lifespan=self._lifespan)
        ref = EnvRef("slow", "mcp", {"object": server, "connect_timeout": connect_timeout})
        backend, began, self._opened, enough = MCPBackend(), anyio.current_time(), 0, anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(number):
                tasks.start_soon(self._hold, backend, ref, enough)
            with anyio.fail_after(PATIENCE):
                while self._opened < number:
                    await anyio.sleep(0.01)
            enough.set()
            return anyio.current_time() - began

    @asynccontextmanager
    async def _lifespan(self, _: object):
        async with self._turn:
            await anyio.sleep(TURN_SECONDS)
        yield

    async def _hold(self, backend: MCPBackend, ref: EnvRef, enough: anyio.Event) -> None:
        async with backend.open(ref) as session:
            await session.list_tools()
            self._opened += 1
            await enough.wait()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # where the loop makes no difference
async def test_a_burst_does_not_run_into_connect_timeout() -> None:
    burst, number, times = Burst(), 300, 4
    assert number > 2 * times * MOST_OPENING
    await burst.open(1, PATIENCE)  # imports what it needs
    # Enough for those that are let in together, however slow this machine is; and not for half of them all.
    connect_timeout = times * await burst.open(MOST_OPENING, PATIENCE)
    await burst.open(number, connect_timeout)


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
