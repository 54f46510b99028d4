"""Environments that are connected to real servers: processes, addresses, objects and APIs."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import fastapi
import pytest
import serving
from free_ports import free_port
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer

from hud_core import Agent, BackendError, Cause, ConfigError, Environment, Kernel, Retries, ToolError, evaluate, run
from hud_core.testing import ScriptedAgent
from hud_core.testing.processes import descendants, is_running
from hud_mcp.server import EnvironmentServer

SERVER = Path(__file__).parent / "servers" / "everything.py"
# On trio, the SDK's HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]

ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvicorn, which serves over HTTP, knows no other


def program(how: str = "stdio") -> dict[str, Any]:
    """Give a server's entry in an ``mcpServers`` configuration."""
    return {"command": sys.executable, "args": [str(SERVER), how]}


def everything(how: str = "stdio", **choices: Any) -> Environment:
    """Connect to the server of every kind, as a process, and declare a scenario that scores 1 for ``yes``."""
    env = Environment("near").connect_mcp({"everything": program(how)}, **choices)

    @env.scenario()
    async def ask():
        answer = yield "?"
        yield float(answer == "yes")

    return env


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


async def one(task: Any, agent: Agent, kernel: Kernel, **options: Any) -> Any:
    limits: dict[str, Any] = {"retries": Retries(attempts=1), **options}
    return (await run(task, agent, kernel=kernel, save=False, **limits)).rollouts[0]


# --- each kind of server ----------------------------------------------------------------------------------------------


async def test_a_process_over_stdio(kernel: Kernel) -> None:
    before = descendants()
    env = everything(prefix="far", exclude=["big"])
    agent = ScriptedAgent([("far_add", {"a": 1, "b": 2}), ("far_boom", {}), ("far_big", {"size": 1})], "yes")
    rollout = await one(env("ask"), agent, kernel)
    assert (rollout.error, rollout.reward) == (None, 1.0)
    assert [result.is_error for result in agent.results] == [False, True, True]
    assert "overboard" in agent.results[1].text
    assert not {process for process in descendants() - before if is_running(process)}


@ON_ASYNCIO
async def test_an_address_with_headers_of_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "t-1")
    letters = serving.make_environment()
    async with serving.over_http(EnvironmentServer(letters, token="t-1")) as url:
        env = Environment("near").connect_url(
            url, alias="letters", headers={"Authorization": "Bearer t-1", "X-Key": "${FAR_KEY}"}
        )
        async with env:
            assert (await env.call_tool("add", a=1, b=2)).structured_content == {"result": 3}
            with pytest.raises(ToolError, match="the tool broke"):
                await env.call_tool("boom")
        wrong = Environment("near").connect_url(url, headers={"Authorization": "Bearer t-2"})
        with pytest.raises(ConfigError, match=r"connection 'http://127.0.0.1:\d+/mcp' .* it answered 401"):
            await wrong.__aenter__()


@ON_ASYNCIO
async def test_several_servers_of_a_configuration_open_together(kernel: Kernel) -> None:
    letters = serving.make_environment()
    async with serving.over_http(EnvironmentServer(letters)) as url:
        config = {"mcpServers": {"everything": program(), "letters": {"url": url}}}
        env = Environment("near").connect_mcp_config(config)
        async with env:
            names = {tool.name for tool in await env.list_tools()}
            assert {"everything_add", "letters_add", "everything_boom", "letters_boom", "blocks", "gallery"} <= names
            assert (await env.call_tool("everything_add", a=1, b=2)).structured_content == {"result": 3}
            assert (await env.call_tool("letters_add", a=2)).structured_content == {"result": 3}


async def test_scenarios_of_a_server_run_there(kernel: Kernel) -> None:
    env = Environment("near").connect_server(serving.make_environment())
    agent = ScriptedAgent([("add", {"a": 1})], "2")
    for name in ("letters:count", "count"):
        rollout = await one(env(name, word="berry"), agent, kernel)
        assert (rollout.error, rollout.reward) == (None, 1.0)
    hidden = ScriptedAgent([("boom", {}), ("add", {"a": 1})])
    assert (await one(env("letters:quiet"), hidden, kernel)).reward == 1.0
    assert [result.text.partition(";")[0] for result in hidden.results] == ["unknown tool 'boom'", "2"]
    wrong = await one(env("letters:cuont", word="berry"), agent, kernel)
    assert wrong.cause is Cause.SETUP
    assert "no scenario 'letters:cuont'; did you mean 'count'?" in wrong.error


class Wrapper:
    """What FastMCP's objects are to us: a name, and the SDK's server inside."""

    def __init__(self, server: MCPServer) -> None:
        self.name = server.name
        self._mcp_server = server._lowlevel_server


@pytest.mark.parametrize("wrap", [lambda server: server, Wrapper])
async def test_objects_of_this_process(wrap: Any) -> None:
    server = MCPServer("memory")

    @server.tool()
    async def remember(text: str) -> str:
        return f"remembered {text}"

    env = Environment("near").connect_server(wrap(server), prefix="mem")
    assert list(env.connections) == ["memory"]
    async with env:
        assert (await env.call_tool("mem_remember", text="it")).text == "remembered it"


async def test_a_server_that_is_mounted_is_connected() -> None:
    other = MCPServer("memory")
    other.add_tool(lambda text: text, name="echo")
    outer, inner = Environment("outer"), Environment("inner")
    inner.mount(other, prefix="m")
    outer.include_router(inner, prefix="in")
    async with outer:
        assert [tool.name for tool in outer.as_tools()] == ["in_m_echo"]


def shop() -> fastapi.FastAPI:
    app, router = fastapi.FastAPI(title="shop"), fastapi.APIRouter()

    @app.get("/items/{item}", operation_id="get_item")
    def get_item(item: int, colour: str = "red") -> dict[str, Any]:
        return {"item": item, "colour": colour}

    @app.get("/hidden", operation_id="hidden", include_in_schema=False)
    def hidden() -> str:
        return "here"

    @router.post("/stock", operation_id="stock", include_in_schema=False)
    def stock(count: int) -> int:
        return count

    app.include_router(router, prefix="/v1")
    return app


@pytest.mark.parametrize(
    ("connect", "names"),
    [
        (lambda env: env.connect_fastapi(shop()), ["get_item", "hidden", "stock"]),
        (lambda env: env.connect_fastapi(shop(), include_hidden=False, prefix="shop"), ["shop_get_item"]),
        (lambda env: env.connect_server(shop()), ["get_item", "hidden", "stock"]),
    ],
)
async def test_the_routes_of_an_app(connect: Any, names: list[str]) -> None:
    env = connect(Environment("near"))
    assert list(env.connections) == ["shop"]
    async with env:
        assert sorted(tool.name for tool in env.as_tools()) == names
        result = await env.call_tool(names[0], item=3)
        assert result.structured_content == {"item": 3, "colour": "red"}
        if "stock" in names:
            assert (await env.call_tool("stock", count=2)).text == "2"
    assert "/hidden" not in shop().openapi()["paths"]


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f'{{"path": "{self.path}", "key": "{self.headers.get("X-Key")}"}}'.encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


async def test_the_operations_of_an_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "k-1")
    (tmp_path / "pets.yaml").write_text(
        "openapi: 3.1.0\npaths:\n  /pets/{id}:\n    get:\n      operationId: pet\n", "utf-8"
    )
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{api.server_port}"
        env = Environment("near").connect_openapi(
            str(tmp_path / "pets.yaml"), base_url=base, headers={"X-Key": "${API_KEY}"}, name="pets"
        )
        async with env:
            assert [tool.name for tool in env.as_tools()] == ["pet"]
            assert (await env.call_tool("pet")).structured_content["key"] == "k-1"
    finally:
        api.shutdown()
        api.server_close()


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_closed_port_says_who_was_asked_and_what_it_answered(kernel: Kernel) -> None:
    before = descendants()
    url = f"http://127.0.0.1:{free_port()}/mcp"
    env = everything().connect_url(f"{url}?api_key=sk-planted", alias="gone")
    with anyio.fail_after(60):
        rollout = await one(env("ask"), ScriptedAgent(), kernel)
    assert rollout.cause is Cause.BACKEND
    assert "sk-planted" not in rollout.error
    assert "connection 'gone' of environment 'near' cannot be opened" in rollout.error
    assert url in rollout.error
    assert "tried streamable HTTP; ConnectError" in rollout.error
    assert not {process for process in descendants() - before if is_running(process)}


async def test_a_process_that_ends_at_once_is_told_with_what_it_wrote(kernel: Kernel) -> None:
    rollout = await one(everything("broken")("ask"), ScriptedAgent(), kernel)
    assert rollout.cause is Cause.BACKEND
    for said in ("connection 'everything'", str(SERVER), "exited with code 3", "cannot find the thing"):
        assert said in rollout.error


async def test_a_server_that_dies_in_a_rollout_is_lost_and_the_next_attempt_has_another(kernel: Kernel) -> None:
    attempts = 0

    class Deadly(Agent):
        name = "deadly"

        async def run(self, prompt, toolbox, *, max_steps):
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                await toolbox.call_tool("die")
            assert (await toolbox.call_tool("add", a=1, b=2)).text == "3"
            return "yes"

    rollout = await one(everything()("ask"), Deadly(), kernel, retries=Retries(attempts=2, delay=0.01))
    assert rollout.reward == 1.0
    (failed,) = rollout.attempts
    assert failed.cause is Cause.BACKEND
    assert "everything" in failed.error
    assert "dying now" in failed.error


async def test_a_list_that_changes_is_followed() -> None:
    env = everything(prefix="far")
    async with evaluate(env("ask"), kernel=Kernel()) as ctx:
        before = {tool.name for tool in await ctx.list_tools()}
        assert (await ctx.call_tool("far_grow")).text == "grew"
        with anyio.fail_after(60):
            while {tool.name for tool in await ctx.list_tools()} == before:
                await anyio.sleep(0.01)
        assert (await ctx.call_tool("far_grown")).text == "grown"
        await ctx.submit("yes")


async def test_a_rollout_that_is_cancelled_leaves_no_process(kernel: Kernel, tmp_path: Path) -> None:
    before = descendants()
    mark = tmp_path / "mark"
    agent = ScriptedAgent([("sleep", {"mark": str(mark)})])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, everything()("ask"), agent, kernel)
        with anyio.fail_after(60):
            while not mark.exists():
                await anyio.sleep(0.01)
        assert descendants() - before
        tasks.cancel_scope.cancel()
    assert not {process for process in descendants() - before if is_running(process)}


async def test_what_an_included_name_should_have_been_is_said(kernel: Kernel) -> None:
    rollout = await one(everything(include=["ad"])("ask"), ScriptedAgent(), kernel)
    assert "connection 'everything' has no tool 'ad' to include; did you mean 'add'?" in rollout.error
    assert rollout.attempts == ()


async def test_entering_an_environment_says_what_failed() -> None:
    env = Environment("near").connect_url(f"http://127.0.0.1:{free_port()}/mcp", alias="gone")
    with pytest.raises(BackendError, match="connection 'gone'"):
        await env.__aenter__()


# --- served -----------------------------------------------------------------------------------------------------------


def through() -> Environment:
    """Connect to an object, and declare a scenario and a tool that use it."""
    far = Environment("far")
    opened: list[int] = []
    far.initialize(lambda: opened.append(1))

    @far.tool
    def double(number: int) -> int:
        return 2 * number

    env = Environment("near").connect_server(far, prefix="far")
    env.opened = opened

    @env.tool
    async def quadruple(number: int) -> int:
        return int((await env.call_tool("far_double", number=2 * number)).text)

    @env.scenario(exclude_sources=["far"])
    async def ask():
        answer = yield f"2 * 2 = {(await env.call_tool('far_double', number=2)).text}"
        yield float(answer == (await env.call_tool("quadruple", number=1)).text)

    return env


async def test_connected_tools_are_served() -> None:
    env = through()
    async with Client(EnvironmentServer(env).lowlevel) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["quadruple", "far_double"]
        assert (await client.call_tool("far_double", {"number": 4})).structured_content == {"result": 8}
        assert (await client.call_tool("quadruple", {"number": 1})).structured_content == {"result": 4}
        prompt = await client.get_prompt("near:ask")
        assert prompt.messages[0].content.text == "2 * 2 = 4"
        assert env.opened == [1]  # episodes have connections of their own, and what backends share is shared
        assert [tool.name for tool in (await client.list_tools()).tools] == ["quadruple"]
        assert (await client.call_tool("far_double", {"number": 4})).is_error
        await client.call_tool("_hud_submit", {"scenario": "ask", "answer": "4"})
        score = await client.read_resource("near:ask")
        assert '"reward":1.0' in score.contents[0].text


@ON_ASYNCIO
async def test_a_served_environment_whose_connection_fails_says_so_and_tries_again() -> None:
    port = free_port()
    env = Environment("near").connect_url(f"http://127.0.0.1:{port}/mcp", alias="late")
    async with Client(EnvironmentServer(env).lowlevel) as client:
        with pytest.raises(MCPError, match="connection 'late' of environment 'near' cannot be opened"):
            await client.list_tools()
        async with anyio.create_task_group() as tasks:
            server = EnvironmentServer(serving.make_environment())
            tasks.start_soon(lambda: server.serve_http(port=port))
            with anyio.fail_after(60):
                while True:
                    try:
                        tools = (await client.list_tools()).tools
                        break
                    except MCPError:
                        await anyio.sleep(0.02)
            assert "add" in [tool.name for tool in tools]
            tasks.cancel_scope.cancel()
