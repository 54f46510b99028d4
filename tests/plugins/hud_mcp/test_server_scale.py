"""A server with many clients at once, with clients that vanish, and with clients that do not read."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import anyio
import pytest
import uvicorn
from mcp import Client
from mcp.shared import _otel
from opentelemetry import trace

from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend
from hud_mcp.server import EnvironmentServer
from hud_mcp.server.surface import Surface


def _load(name):
    """Import a file beside this one: test folders are not packages."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


serving = _load("serving")
make_environment, over_http = serving.make_environment, serving.over_http
PATIENCE = 30.0


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture
def servers(monkeypatch):
    """Keep the uvicorn servers that are made, to look at their connections."""
    made = []

    class Kept(uvicorn.Server):
        def __init__(self, config):
            super().__init__(config)
            made.append(self)

    monkeypatch.setattr(uvicorn, "Server", Kept)
    return made


# --- what a call does not pay for -------------------------------------------------------------------------------------


async def test_small_answers_are_sent_at_once(servers):
    async with over_http(EnvironmentServer(make_environment())) as url, Client(url) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        (server,) = servers
        sockets = [connection.transport.get_extra_info("socket") for connection in server.server_state.connections]
        assert sockets
        assert all(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for found in sockets)


async def test_spans_are_made_where_something_records_them(monkeypatch):
    names = []

    class Tracer(trace.NoOpTracer):
        def start_as_current_span(self, name, *args, **options):
            names.append(name)
            return super().start_as_current_span(name, *args, **options)

    monkeypatch.setattr(_otel, "_tracer", Tracer())
    async with Client(EnvironmentServer(make_environment()).lowlevel) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        assert names == []
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
        await client.call_tool("add", {"a": 1, "b": 2})
        assert names == ["tools/call add"]


async def test_nobody_listens_for_changes_until_somebody_looks(monkeypatch):
    listened = []
    real = Surface.listen

    async def listen(self, ctx, params):
        listened.append(params)
        return await real(self, ctx, params)

    monkeypatch.setattr(Surface, "listen", listen)
    async with over_http(EnvironmentServer(make_environment())) as url:
        async with MCPBackend().open(EnvRef("letters", "mcp", {"url": url})) as session:
            await session.list_tools()
            await session.call_tool("add", a=1, b=2)
        assert listened == []
        async with MCPBackend().open(EnvRef("letters", "mcp", {"url": url})) as session:
            before = session.tools.revision
            with anyio.fail_after(PATIENCE):
                while not listened:
                    await anyio.sleep(0.01)
            assert session.tools.revision == before
