"""Server objects of the mcp SDK and of FastMCP as environments: what they offer is passed on."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import frozen
from mcp import types

from hud_core.environment.environment import Environment
from hud_core.environment.signature import Signature
from hud_core.environment.tools import ToolFunction
from hud_core.errors import ToolError
from hud_core.model.task import EnvRef
from hud_mcp.callers import open_caller
from hud_mcp.client.connection import Connection
from hud_mcp.client.convert import prompt_from
from hud_mcp.client.lists import everything
from hud_mcp.client.objects import server_of
from hud_mcp.client.opening import ObjectOpener
from hud_mcp.client.options import read_target
from hud_mcp.client.tools import MCPTools
from hud_mcp.server.asking import ELICITATION, ROOTS, SAMPLING
from hud_mcp.server.published import PublishedPrompt, PublishedResource, published

if TYPE_CHECKING:
    from mcp import Client

    from hud_core.model.content import Prompt
    from hud_core.model.tools import Tool, ToolCall, ToolResult


class AdoptedServer(Environment):
    """An environment that offers the tools, prompts and resources of a server object, from its initialisation on.

    Args:
        server: An `MCPServer` or `Server` of the SDK, or a FastMCP object.
    """

    def __init__(self, server: Any) -> None:  # noqa: ANN401  of classes that FastMCP and the SDK do not share
        super().__init__(server.name, getattr(server, "instructions", None))
        self.server = server
        target = read_target(EnvRef(self.name, "mcp", {"object": server}))
        self._way = Connection(_Opener(target, server_of(target, None)))
        self.initialize(self._join_server)
        self.shutdown(self._leave_server)

    async def _join_server(self) -> None:
        await self._way.__aenter__()
        try:
            tools = MCPTools(self._way)
            self.tool_functions.update({tool.name: _Tool(tool, tools) for tool in await tools.list_tools()})
            await self._way.ask(self._publish_server)
        except BaseException as error:
            await self._way.__aexit__(type(error), error, None)
            raise

    async def _leave_server(self) -> None:
        await self._way.__aexit__(None, None, None)

    async def _publish_server(self, client: Client) -> None:
        told = published(self)
        for prompt in await everything(client, "prompts"):
            told.prompts[prompt.name] = _prompt(prompt, self._way)
        for resource in await everything(client, "resources"):
            told.resources[resource.uri] = _resource(resource, resource.uri, self._way)
        for template in await everything(client, "resource_templates"):
            told.resources[template.uri_template] = _resource(template, template.uri_template, self._way)


class _Opener(ObjectOpener):
    """Connects to the object so that what it asks reaches the client whose request it is answering.

    In the protocol up to 2025-11-25 a server's questions are requests, whatever the code that asks; ours go on to the
    client as its own protocol has them. In this process they arrive in the context of the request that led to them.
    """

    client_options = MappingProxyType({
        "mode": "legacy",
        "elicitation_callback": lambda _, params: _pass_on(types.ElicitRequest(params=params), ELICITATION),
        "sampling_callback": lambda _, params: _pass_on(types.CreateMessageRequest(params=params), SAMPLING),
        "list_roots_callback": lambda _: _pass_on(types.ListRootsRequest(), ROOTS),
    })  # fmt: skip


async def _pass_on(
    request: types.InputRequest, needed: types.ClientCapabilities
) -> types.InputResponse | types.ErrorData:
    caller = open_caller()
    if caller is None:
        return types.ErrorData(
            code=types.INVALID_REQUEST, message="no client waits for an answer, so nobody can be asked"
        )
    try:
        return await caller.ask(request, needed, None)
    except ToolError as error:
        return types.ErrorData(code=types.INVALID_REQUEST, message=str(error))


class _Tool(ToolFunction):
    """A tool of the server, which checks its arguments itself."""

    def __init__(self, tool: Tool, tools: MCPTools) -> None:
        self.name = tool.name
        self.tool = tool
        self._tools = tools

    async def call(self, call: ToolCall) -> ToolResult:
        return await self._tools.call_tool(call)


@frozen(kw_only=True)
class _Prompt(PublishedPrompt):
    listed: types.Prompt
    connection: Connection

    def describe(self) -> types.Prompt:
        return self.listed

    async def get(self, arguments: dict[str, str]) -> Prompt:
        return prompt_from(await self.connection.ask(lambda client: client.get_prompt(self.name, arguments)))


@frozen(kw_only=True)
class _Resource(PublishedResource):
    connection: Connection

    @property
    def is_template(self) -> bool:
        return "{" in self.uri

    def match(self, uri: str) -> dict[str, str] | None:
        """Match generously: the server knows its templates better."""
        pattern = ".+".join(map(re.escape, re.split(r"\{[^}]*\}", self.uri)))
        return {} if re.fullmatch(pattern, uri) else None

    async def read(self, uri: str, arguments: dict[str, str]) -> types.ReadResourceResult:
        del arguments
        return await self.connection.ask(lambda client: client.read_resource(uri))


def _prompt(listed: types.Prompt, connection: Connection) -> _Prompt:
    return _Prompt(
        name=listed.name,
        title=listed.title,
        description=listed.description or "",
        function=_elsewhere,
        signature=Signature(f"prompt {listed.name!r}", _elsewhere),
        listed=listed,
        connection=connection,
    )


def _resource(listed: types.Resource | types.ResourceTemplate, uri: str, connection: Connection) -> _Resource:
    return _Resource(
        uri=uri,
        name=listed.name,
        description=listed.description or "",
        mime_type=listed.mime_type,
        function=_elsewhere,
        signature=Signature(f"resource {uri!r}", _elsewhere),
        connection=connection,
    )


def _elsewhere() -> None:
    """Stand for the function, which is the server's."""
