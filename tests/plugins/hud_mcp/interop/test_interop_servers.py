"""Our client against other people's servers, over HTTP and over stdio."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from hud_core import Environment
from hud_core.environment.session import Session
from hud_core.model.content import ImageContent
from hud_core.model.task import EnvRef
from hud_core.trace import Recorder, current_recorder
from hud_mcp.client.backend import MCPBackend
from hud_mcp.server import EnvironmentServer

pytestmark = [
    pytest.mark.slow,
    # The SDK's client leaves the event streams of servers of the older protocol to the garbage collector; trio tells.
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
]

# The library, which of the peers' environments has it, and its version as the server tells it.
PYTHON_SERVERS = {
    "mcp1": ("mcp1", "mcp 1.30.0"),
    "mcp2": ("fastmcp4", "mcp 2.3.0"),
    "fastmcp3": ("fastmcp3", "fastmcp 3.4.10"),
    "fastmcp4": ("fastmcp4", "fastmcp 4.1.2"),
}
PACKAGES = "node_modules/@modelcontextprotocol"


@pytest.fixture(scope="module", params=PYTHON_SERVERS)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(library: str, peers: Any) -> Iterator[str]:
    with peers.serving(*plain(library, peers), "http", "{port}") as url:
        yield url


def plain(library: str, peers: Any) -> list[str]:
    """The command that serves letters with a library; say over which transport."""
    command: list[str] = peers.python(PYTHON_SERVERS[library][0], "servers/plain.py", library)
    return command


def by_command(command: list[str], peers: Any) -> dict[str, Any]:
    """The options of a connection to a server that is started with a command."""
    return {"command": command[0], "args": command[1:], "env": peers.environment}


async def names(session: Session) -> set[str]:
    return {tool.name for tool in await session.list_tools()}


@pytest.fixture(params=["http", "stdio"])
def options(request: pytest.FixtureRequest, library: str, peers: Any) -> dict[str, Any]:
    if request.param == "http":
        return {"url": request.getfixturevalue("url")}
    return by_command([*plain(library, peers), "stdio"], peers)


async def test_python_servers_work(library: str, options: dict[str, Any], tmp_path: Path) -> None:
    recorder = Recorder("rollout")
    token = current_recorder.set(recorder)
    async with MCPBackend().open(EnvRef("letters", "mcp", options)) as session:
        await calls_work(session, PYTHON_SERVERS[library][1])
        await cancelling_reaches_the_server(session, tmp_path / "wait")
        await changes_are_followed(session)
        assert (await session.call_tool("climb", to=3)).text == "there"
    current_recorder.reset(token)
    told = [event.text for event in recorder.pending if event.type == "log_line" and event.source == "letters"]
    assert [text for text in told if text.startswith("climb: ")] == [f"climb: {n}/3 step {n}" for n in (1, 2, 3)]


async def calls_work(session: Session, version: str) -> None:
    assert {"add", "boom", "picture", "made_with"} <= await names(session)
    assert (await session.call_tool("made_with")).text == version
    assert (await session.call_tool("add", a=2, b=3)).text == "5"
    boom = await session.call_tool("boom")
    assert (boom.is_error, "no such letter" in boom.text) == (True, True)
    (picture,) = (await session.call_tool("picture")).content
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/png"
    assert (await session.call_tool("bang")).is_error


async def cancelling_reaches_the_server(session: Session, file: Path) -> None:
    async with anyio.create_task_group() as calling:
        calling.start_soon(partial(session.call_tool, "wait", file=str(file)))
        await until(lambda: file.exists() and file.read_text("utf-8") == "began")
        calling.cancel_scope.cancel()
    await until(lambda: file.read_text("utf-8") == "ended")


async def changes_are_followed(session: Session) -> None:
    before = session.tools.revision
    with anyio.fail_after(60):
        while session.tools.revision == before:  # over HTTP, who has not yet a stream for it misses the word
            await session.call_tool("grow")
            await anyio.sleep(0.05)
    assert "more" in await names(session)
    assert (await session.call_tool("more")).text == "more"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.02)


async def test_the_everything_server_works(peers: Any) -> None:
    command = peers.node(f"{PACKAGES}/server-everything/dist/index.js", "stdio")
    async with MCPBackend().open(EnvRef("everything", "mcp", by_command(command, peers))) as session:
        assert "hello" in (await session.call_tool("echo", message="hello")).text
        assert "5" in (await session.call_tool("get-sum", a=2, b=3)).text
        image = await session.call_tool("get-tiny-image")
        assert any(isinstance(block, ImageContent) for block in image.content)
        assert (await session.call_tool("get-sum", a="two", b=3)).is_error
        with anyio.move_on_after(0.5) as scope:
            await session.call_tool("trigger-long-running-operation", duration=60, steps=600)
        assert scope.cancelled_caught
        assert "again" in (await session.call_tool("echo", message="again")).text


async def test_what_the_everything_server_publishes_is_read_and_passed_on(peers: Any) -> None:
    command = peers.node(f"{PACKAGES}/server-everything/dist/index.js", "stdio")
    env = Environment("near").connect_mcp({"far": by_command(command, peers)}, prefix="far")
    async with env:
        arguments = {prompt.name: [one.name for one in prompt.arguments] for prompt in await env.list_prompts()}
        assert arguments["far_args-prompt"] == ["city", "state"]
        assert "Paris" in (await env.get_prompt("far_args-prompt", {"city": "Paris"})).text
        first, *_ = await env.list_resources()
        (document,) = await env.read_resource(first.uri)
        assert document.text
    async with Client(EnvironmentServer(env).lowlevel) as client:
        assert "far_args-prompt" in [prompt.name for prompt in (await client.list_prompts()).prompts]
        (text,) = (await client.read_resource("demo://resource/dynamic/text/3")).contents
        assert text.text.startswith("Resource 3")
        told: list[float] = []

        async def progress(done: float, *_: object) -> None:
            told.append(done)

        steps = {"duration": 0.1, "steps": 2}
        await client.call_tool("far_trigger-long-running-operation", steps, progress_callback=progress)
        await until(lambda: told == [1, 2])


async def test_the_filesystem_server_works(peers: Any, tmp_path: Path) -> None:
    command = peers.node(f"{PACKAGES}/server-filesystem/dist/index.js", str(tmp_path))
    async with MCPBackend().open(EnvRef("files", "mcp", by_command(command, peers))) as session:
        written = await session.call_tool("write_file", path=str(tmp_path / "note.txt"), content="hello")
        assert not written.is_error, written.text
        assert (tmp_path / "note.txt").read_text() == "hello"
        assert (await session.call_tool("read_text_file", path=str(tmp_path / "note.txt"))).text == "hello"
        assert (await session.call_tool("read_text_file", path="/etc/passwd")).is_error


async def test_the_memory_server_works(peers: Any, tmp_path: Path) -> None:
    options = by_command(peers.node(f"{PACKAGES}/server-memory/dist/index.js"), peers)
    options["env"] |= {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    async with MCPBackend().open(EnvRef("memory", "mcp", options)) as session:
        entity = {"name": "strawberry", "entityType": "word", "observations": ["three r"]}
        created = await session.call_tool("create_entities", entities=[entity])
        assert not created.is_error, created.text
        assert "three r" in (await session.call_tool("read_graph")).text


def test_what_servers_offer_is_analyzed(peers: Any, hud_dev: list[str], tmp_path: Path) -> None:
    scripts = {"everything": ["stdio"], "filesystem": [str(tmp_path)], "memory": []}
    servers: dict[str, dict[str, Any]] = {}
    for name, words in scripts.items():
        program, *args = peers.node(f"{PACKAGES}/server-{name}/dist/index.js", *words)
        servers[name] = {"command": program, "args": args, "env": peers.environment}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": servers}), "utf-8")
    ran = peers.run([hud_dev[0], "analyze", "--config", str(config), "--format", "json"])
    assert ran.returncode == 0, ran.stderr
    everything, files, memory = json.loads(ran.stdout)["servers"]
    assert "echo" in {tool["name"] for tool in everything["tools"]}
    assert "simple-prompt" in {prompt["name"] for prompt in everything["prompts"]}
    assert all(everything[kind] for kind in ("resources", "templates"))
    assert "read_text_file" in {tool["name"] for tool in files["tools"]}
    assert "read_graph" in {tool["name"] for tool in memory["tools"]}
