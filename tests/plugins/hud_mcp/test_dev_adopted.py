"""Server objects of the SDK in the place of an environment."""

from __future__ import annotations

import textwrap
from pathlib import Path

import anyio
import pytest
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from hud_core import Environment
from hud_core.errors import ConfigError
from hud_mcp.project.adopted import AdoptedServer
from hud_mcp.project.reload import Project
from hud_mcp.project.targets import find_target
from hud_mcp.server import EnvironmentServer


@pytest.fixture
def server() -> MCPServer:
    server = MCPServer("My Letters", instructions="Count letters.", log_level="CRITICAL")

    @server.tool(title="Sum")
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def boom() -> str:
        raise ToolError("no such letter")

    @server.tool()
    async def wait() -> str:
        await anyio.sleep_forever()
        return "never"

    @server.prompt()
    def spell(word: str) -> str:
        """Spell a word."""
        return f"Spell {word}"

    @server.resource("letters://rules", mime_type="text/x-rules")
    def rules() -> str:
        return "Count every letter."

    @server.resource("letters://{word}/{number}")
    def letter(word: str, number: str) -> str:
        return word[int(number)]

    return server


async def test_what_it_offers_is_served(server: MCPServer) -> None:
    environment = AdoptedServer(server)
    assert (environment.name, environment.instructions) == ("my-letters", "Count letters.")
    async with Client(EnvironmentServer(environment).lowlevel) as client, Client(server) as direct:
        assert (await client.list_tools()).tools == (await direct.list_tools()).tools
        assert (await client.list_prompts()).prompts == (await direct.list_prompts()).prompts
        (resource,) = (await client.list_resources()).resources
        assert (resource.uri, resource.mime_type) == ("letters://rules", "text/x-rules")
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "letters://{word}/{number}"


async def test_what_is_asked_is_passed_on(server: MCPServer) -> None:
    async with Client(EnvironmentServer(AdoptedServer(server)).lowlevel) as client:
        added = await client.call_tool("add", {"a": 2, "b": 3})
        assert (added.is_error, added.structured_content) == (False, {"result": 5})
        boom = await client.call_tool("boom", {})
        assert (boom.is_error, "no such letter" in boom.content[0].text) == (True, True)
        assert (await client.call_tool("add", {"a": "x"})).is_error
        prompt = await client.get_prompt("spell", {"word": "moon"})
        assert [message.content.text for message in prompt.messages] == ["Spell moon"]
        assert (await client.read_resource("letters://rules")).contents[0].text == "Count every letter."
        assert (await client.read_resource("letters://moon/0")).contents[0].text == "m"
        with pytest.raises(MCPError, match="letters://nix"):
            await client.read_resource("letters://nix")


async def test_it_ends_while_a_call_is_under_way(server: MCPServer) -> None:
    serving = EnvironmentServer(AdoptedServer(server))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, Client(serving.lowlevel) as client:
            group.start_soon(client.call_tool, "wait", {})
            assert not (await client.call_tool("add", {"a": 1})).is_error
            group.cancel_scope.cancel()


async def test_another_takes_its_place(server: MCPServer) -> None:
    serving = EnvironmentServer(AdoptedServer(server))
    async with Client(serving.lowlevel) as client:
        assert len((await client.list_tools()).tools) == 3
        await serving.replace(AdoptedServer(MCPServer("other", log_level="CRITICAL")))
        assert (await client.list_tools()).tools == []
        await serving.replace(AdoptedServer(server))
        assert (await client.call_tool("add", {"a": 1})).structured_content == {"result": 2}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    body = """
        from base import mcp

        @mcp.tool()
        def add(a: int, b: int) -> int:
            return a + b
    """
    (tmp_path / "adopted_module.py").write_text(textwrap.dedent(body), "utf-8")
    base = "from mcp.server.mcpserver import MCPServer\nmcp = MCPServer('letters', log_level='CRITICAL')\n"
    (tmp_path / "base.py").write_text(base, "utf-8")
    return tmp_path / "adopted_module.py"


@pytest.mark.parametrize("target", ["adopted_module", "adopted_module:mcp"])
async def test_a_module_that_has_one(module: Path, target: str) -> None:
    project = Project(find_target(target, module.parent))
    with project.importable():
        serving = EnvironmentServer(project.load())
        async with Client(serving.lowlevel) as client:
            assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 5}
            module.write_text(module.read_text("utf-8").replace("a + b", "a * b"), "utf-8")
            found = project.reload()
            assert found is not None
            assert found[1] == ["adopted_module", "base"], "a tool is registered anew at a new server"
            await serving.replace(found[0])
            assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 6}


def test_an_environment_beside_one(module: Path) -> None:
    module.write_text(module.read_text("utf-8") + "from hud_core import Environment\nenv = Environment('e')\n", "utf-8")
    project = Project(find_target("adopted_module", module.parent))
    with project.importable():
        environment = project.load()
        assert type(environment) is Environment


def test_what_is_no_server(module: Path) -> None:
    project = Project(find_target("adopted_module:add", module.parent))
    with project.importable(), pytest.raises(ConfigError, match="adopted_module:add is function, not an Environment"):
        project.load()
