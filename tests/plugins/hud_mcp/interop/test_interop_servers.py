"""Our client against other people's servers, over HTTP and over stdio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hud_core.environment.session import Session
from hud_core.model.content import ImageContent
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend

pytestmark = [
    pytest.mark.slow,
    # The SDK's client leaves the event streams of servers of the older protocol to the garbage collector; trio tells.
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
]

PYTHON_SERVERS = {"mcp1": "mcp 1.30.0", "fastmcp3": "fastmcp 3.4.10", "fastmcp4": "fastmcp 4.1.2"}
PACKAGES = "node_modules/@modelcontextprotocol"


@pytest.fixture(scope="module", params=PYTHON_SERVERS)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(library: str, peers: Any) -> Iterator[str]:
    with peers.serving(*peers.python(library, "servers/plain.py", "http", "{port}")) as url:
        yield url


def by_command(command: list[str], peers: Any) -> dict[str, Any]:
    """The options of a connection to a server that is started with a command."""
    return {"command": command[0], "args": command[1:], "env": peers.environment}


async def names(session: Session) -> set[str]:
    return {tool.name for tool in await session.list_tools()}


@pytest.fixture(params=["http", "stdio"])
def options(request: pytest.FixtureRequest, library: str, peers: Any) -> dict[str, Any]:
    if request.param == "http":
        return {"url": request.getfixturevalue("url")}
    return by_command(peers.python(library, "servers/plain.py", "stdio"), peers)


async def test_tools_of_python_servers_work(library: str, options: dict[str, Any]) -> None:
    async with MCPBackend().open(EnvRef("letters", "mcp", options)) as session:
        assert await names(session) == {"add", "boom", "picture", "made_with"}
        assert (await session.call_tool("made_with")).text == PYTHON_SERVERS[library]
        assert (await session.call_tool("add", a=2, b=3)).text == "5"
        boom = await session.call_tool("boom")
        assert (boom.is_error, "no such letter" in boom.text) == (True, True)
        (picture,) = (await session.call_tool("picture")).content
        assert isinstance(picture, ImageContent)
        assert picture.mime_type == "image/png"
        assert (await session.call_tool("bang")).is_error


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
