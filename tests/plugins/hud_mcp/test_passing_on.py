"""What server objects and connected servers say and ask reaches the client whose call led to it, in both eras."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from free_ports import free_port
from mcp import Client, MCPError
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

from hud_core import Environment
from hud_mcp.project.adopted import AdoptedServer
from hud_mcp.server import EnvironmentServer

ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvicorn, which serves over HTTP, knows no other
SERVER = Path(__file__).parent / "servers" / "everything.py"
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


class Order(BaseModel):
    drink: str


def cafe() -> MCPServer:
    server = MCPServer("cafe", log_level="CRITICAL")

    @server.tool()
    async def order(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "asking")
        answer = await ctx.elicit("What will it be?", Order)
        await ctx.report_progress(2, 2)
        return answer.data.drink if answer.action == "accept" else answer.action

    @server.tool()
    async def dream(ctx: Context) -> str:
        message = types.SamplingMessage(role="user", content=types.TextContent(text="Dream."))
        answer = await ctx.session.create_message([message], max_tokens=9)
        return answer.content.text

    @server.tool()
    async def look(ctx: Context) -> str:
        return str((await ctx.session.list_roots()).roots[0].uri)

    @server.prompt()
    async def menu(ctx: Context) -> str:
        return f"Order {(await ctx.elicit('Which?', Order)).data.drink}."

    return server


class Guest:
    """A client's user, model and folders."""

    def __init__(self, drink: str) -> None:
        self.drink = drink
        self.progress: list[tuple[float, float | None, str | None]] = []

    async def told(self, done: float, total: float | None, message: str | None) -> None:
        self.progress.append((done, total, message))

    async def elicit(self, _: object, params: Any) -> types.ElicitResult:
        assert params.message in ("What will it be?", "Which?")
        return types.ElicitResult(action="accept", content={"drink": self.drink})

    async def sample(self, _: object, params: Any) -> types.CreateMessageResult:
        assert params.max_tokens == 9
        return types.CreateMessageResult(role="assistant", content=types.TextContent(text=self.drink), model="m")

    async def roots(self, _: object) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///{self.drink}")])

    def enter(self, server: Any, mode: str) -> Client:
        return Client(
            server,
            mode=mode,
            elicitation_callback=self.elicit,
            sampling_callback=self.sample,
            list_roots_callback=self.roots,
        )

    async def visit(self, url: str, mode: str, served: list[str]) -> None:
        async with self.enter(url, mode) as client:
            result = await client.call_tool("order", {}, progress_callback=self.told)
            served.append(f"{self.drink} got {said(result)}")


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


def said(result: types.CallToolResult) -> str:
    return result.content[0].text


async def test_what_a_server_object_asks_reaches_the_client(mode: str) -> None:
    guest = Guest("tea")
    async with guest.enter(EnvironmentServer(AdoptedServer(cafe())).lowlevel, mode) as client:
        assert said(await client.call_tool("order", {}, progress_callback=guest.told)) == "tea"
        assert said(await client.call_tool("dream", {})) == "tea"
        assert said(await client.call_tool("look", {})) == "file:///tea"
        assert (await client.get_prompt("menu")).messages[0].content.text == "Order tea."
    assert guest.progress[0] == (1, 2, "asking")


@ON_ASYNCIO
async def test_each_client_is_asked_its_own_questions(mode: str) -> None:
    server = EnvironmentServer(AdoptedServer(cafe()))
    served: list[str] = []
    port = free_port()
    async with anyio.create_task_group() as serving:
        serving.start_soon(lambda: server.serve_http(port=port))
        with anyio.fail_after(60):
            while not await listens(port):
                await anyio.sleep(0.01)
        async with anyio.create_task_group() as guests:
            for drink in ("tea", "coffee", "water"):
                guests.start_soon(Guest(drink).visit, f"http://127.0.0.1:{port}/mcp", mode, served)
        serving.cancel_scope.cancel()
    assert sorted(served) == ["coffee got coffee", "tea got tea", "water got water"]


async def listens(port: int) -> bool:
    try:
        async with await anyio.connect_tcp("127.0.0.1", port):
            return True
    except OSError:
        return False


async def test_a_client_that_cannot_be_asked_is_told_so(mode: str) -> None:
    async with Client(EnvironmentServer(AdoptedServer(cafe())).lowlevel, mode=mode) as client:
        try:
            result = await client.call_tool("order", {})
        except MCPError as error:
            assert (mode, error.code) == ("auto", types.MISSING_REQUIRED_CLIENT_CAPABILITY)  # noqa: PT017  either way
        else:
            assert mode == "legacy"
            assert "does not support elicitation/create" in said(result)


@ON_ASYNCIO
async def test_the_progress_of_a_connected_server_reaches_the_client(mode: str) -> None:
    env = Environment("near").connect_mcp({"far": {"command": sys.executable, "args": [str(SERVER), "stdio"]}})
    guest = Guest("tea")
    async with Client(EnvironmentServer(env).lowlevel, mode=mode) as client:
        assert said(await client.call_tool("steps", {"number": 2}, progress_callback=guest.told)) == "done"
        with anyio.fail_after(60):
            while len(guest.progress) < 2:
                await anyio.sleep(0.01)
    assert guest.progress == [(1, 2, "step 1"), (2, 2, "step 2")]
