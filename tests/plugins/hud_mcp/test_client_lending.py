"""Rollouts of a job share TCP connections, one after the other, and nothing else."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from serving import make_environment, over_http

from hud_core.errors import BackendError
from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_mcp.client import lending
from hud_mcp.client.backend import MCPBackend
from hud_mcp.server import EnvironmentServer
from hud_mcp.server.http import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvicorn serves on nothing else


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep connections for as long as a rollout may take on a busy machine."""
    monkeypatch.setattr(lending, "KEEP_SECONDS", 60.0)


class Watched:
    """A server that remembers the connection and the cookie of each request, and sends a cookie with each answer."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.cookies: list[str] = []
        self.tokens: list[str] = []

    async def serve_http(self, port: int) -> None:
        app = EnvironmentServer(make_environment()).http_app()
        app.add_middleware(_Watching, seen=self)
        await serve(app, "127.0.0.1", port)


class _Watching:
    def __init__(self, app: ASGIApp, seen: Watched) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", b"mark=%d" % len(self._seen.ports))]
            await send(message)

        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self._seen.ports.append(scope["client"][1])
            self._seen.cookies.append(headers.get("cookie", ""))
            self._seen.tokens.append(headers.get("x-token", ""))
        await self._app(scope, receive, with_cookie)


@asynccontextmanager
async def job() -> AsyncIterator[MCPBackend]:
    """Have a backend as a job has one."""
    backend = MCPBackend()
    async with anyio.create_task_group() as backend.tasks:
        yield backend
        await backend.aclose()


async def roll(backend: MCPBackend, url: str, **options: Any) -> float | None:
    async with backend.open(EnvRef("letters", "mcp", {"url": url, **options})) as session:
        await session.setup("count", {"word": "strawberry"})
        return (await session.grade(Answer(text="3"))).reward


async def test_rollouts_share_a_connection_and_no_cookies() -> None:
    seen = Watched()
    async with over_http(seen) as url, job() as backend:
        assert [await roll(backend, url) for _ in range(3)] == [1.0] * 3
    per_rollout = len(seen.ports) // 3
    assert len(set(seen.ports)) == 1
    assert all(seen.cookies[index] == "" for index in range(0, len(seen.ports), per_rollout))
    assert any(seen.cookies), "within a session the server's cookies are sent"


async def test_rollouts_at_once_have_connections_of_their_own() -> None:
    seen = Watched()
    async with over_http(seen) as url, job() as backend:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(roll, backend, url)
    assert len(set(seen.ports)) == 5


async def test_who_sends_other_headers_has_another_connection() -> None:
    seen = Watched()
    async with over_http(seen) as url, job() as backend:
        for token in ("one", "two", "one"):
            await roll(backend, url, headers={"x-token": token})
    used = set(zip(seen.tokens, seen.ports, strict=True))
    assert [token for token, _ in sorted(used)] == ["one", "two"]


async def test_outside_a_job_nothing_is_kept() -> None:
    seen = Watched()
    async with over_http(seen) as url:
        backend = MCPBackend()
        for _ in range(2):
            await roll(backend, url)
        gc.collect()  # what was left open would warn
    assert len(set(seen.ports)) == 2


async def test_a_server_that_restarted_is_connected_to_anew() -> None:
    seen = Watched()
    async with job() as backend:
        async with over_http(seen) as url:
            await roll(backend, url)
        with pytest.raises(BackendError, match="letters"):
            await roll(backend, url)
        port = int(url.split(":")[2].split("/")[0])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seen.serve_http, port)
            await _until_open(port)
            assert await roll(backend, url) == 1.0
            tasks.cancel_scope.cancel()


async def test_connections_that_nobody_takes_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "KEEP_SECONDS", 0.05)
    seen = Watched()
    async with over_http(seen) as url, job() as backend:
        await roll(backend, url)
        clients = backend._http()
        with anyio.fail_after(60):
            while clients._spare:
                await anyio.sleep(0.01)
        assert await roll(backend, url) == 1.0
        assert len(set(seen.ports)) == 2
        with anyio.fail_after(60):
            while clients._spare:  # the task that closes them was started again
                await anyio.sleep(0.01)


async def test_a_session_that_is_cancelled_leaves_no_connection_behind() -> None:
    seen = Watched()
    async with over_http(seen) as url, job() as backend:
        with anyio.move_on_after(0.3):
            async with backend.open(EnvRef("letters", "mcp", {"url": url})) as session:
                await session.call_tool("wait")
        assert await roll(backend, url) == 1.0
        gc.collect()


async def test_a_job_that_is_cancelled_closes_its_connections() -> None:
    seen = Watched()
    async with over_http(seen) as url, anyio.create_task_group() as tasks:
        backend = MCPBackend()
        backend.tasks = tasks
        await roll(backend, url)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await backend.aclose()
            assert await roll(backend, url) == 1.0, "it is not kept any more"
        gc.collect()
    assert len(set(seen.ports)) == 2


async def _until_open(port: int) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
            except OSError:
                await anyio.sleep(0.01)
            else:
                return
