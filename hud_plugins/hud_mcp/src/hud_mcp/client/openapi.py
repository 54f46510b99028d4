"""Environments behind a REST interface: each operation of an OpenAPI document is a tool."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urljoin

import httpx2

from hud_core.environment.references import bare_url
from hud_core.environment.session import Session, unknown_tool
from hud_core.errors import BackendError, ConfigError, GraderError, SetupError, describe
from hud_core.model.content import AudioContent, ImageContent, ResourceContent, TextContent
from hud_core.model.tools import ToolResult
from hud_mcp.client.apps import document_of
from hud_mcp.client.documents import fetch_document, read_document
from hud_mcp.client.http import bound, limits
from hud_mcp.client.operations import WrongArgumentsError, read_operations
from hud_mcp.client.options import expand, headers_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import anyio

    from hud_core.model.content import Content
    from hud_core.model.tools import Tool, ToolCall
    from hud_mcp.client.apps import Lifespans
    from hud_mcp.client.operations import Operation
    from hud_mcp.client.options import Target

MAX_ERROR = 10_000
"""Characters of an error's body that the agent reads."""
IN_PROCESS_URL = "http://app.invalid"
"""What an app of this process is called by; nothing is looked up."""


class OpenAPITools:
    """The operations of a document, as tools.

    Args:
        client: Sends the requests; knows the base URL and the headers.
        name: The connection's name.
        operations: The operations, by their tools' names.
    """

    __slots__ = ("_client", "_name", "_operations")

    def __init__(self, client: httpx2.AsyncClient, name: str, operations: Mapping[str, Operation]) -> None:
        self._client = client
        self._name = name
        self._operations = operations

    @property
    def revision(self) -> int:
        """A number that grows when the list of tools changes: it never does."""
        return 0

    async def list_tools(self) -> Sequence[Tool]:
        """List the operations."""
        return [operation.tool for operation in self._operations.values()]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Send an operation's request, once; a status of 400 or more is a result with `is_error`.

        Raises:
            BackendError: The server cannot be reached, or broke the connection.
        """
        operation = self._operations.get(call.name)
        if operation is None:
            return unknown_tool(call, list(self._operations))
        try:
            response = await self._client.request(operation.method, **operation.request(call.arguments))
        except (WrongArgumentsError, httpx2.TimeoutException, TypeError, ValueError) as error:
            return ToolResult.error(f"tool {call.name!r}: {describe(error)}", call.id)
        except httpx2.RequestError as error:
            msg = f"OpenAPI server {self._name!r} at {bare_url(str(self._client.base_url))}: {describe(error)}"
            raise BackendError(msg) from error
        return _result(response, call.id)


class OpenAPISession(Session):
    """One rollout's session with a REST interface; it has tools, and no scenarios.

    Args:
        target: The document, or the app.
        context: TLS settings.
        lifespans: Runs the lifespans of apps of this process.
        gate: Is passed while the document is fetched.
    """

    def __init__(
        self, target: Target, context: ssl.SSLContext, lifespans: Lifespans, gate: anyio.CapacityLimiter
    ) -> None:
        self._gate = gate
        self._target = target
        self._context = context
        self._lifespans = lifespans
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            async with self._gate:
                self._tools = await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> OpenAPITools:
        target = self._target
        if target.kind == "openapi":
            document, base_url = await self._described()
            client = self._client(base_url, verify=self._context)
        else:
            document = document_of(target.value, include_hidden=bool(target.options.get("include_hidden", True)))
            running = await self._stack.enter_async_context(self._lifespans.used(target.value))
            transport = httpx2.ASGITransport(running, raise_app_exceptions=False)
            client = self._client(target.options.get("base_url") or IN_PROCESS_URL, transport=transport)
        await self._stack.enter_async_context(client)
        return OpenAPITools(client, target.name, read_operations(target.name, document))

    def _client(self, base_url: str, **how: Any) -> httpx2.AsyncClient:
        timeout = httpx2.Timeout(self._target.timeout, connect=self._target.connect_timeout)
        return httpx2.AsyncClient(
            base_url=base_url,
            headers=headers_of(self._target),
            timeout=timeout,
            limits=limits(),
            event_hooks={"response": [bound]},
            **how,
        )

    async def _described(self) -> tuple[Mapping[str, Any], str]:
        """Give the document, and where its server is.

        Raises:
            ConfigError: There is no such document, or it does not say where its server is.
            BackendError: It cannot be fetched.
        """
        value, place = self._target.value, ""
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            place = value = expand(value, "openapi")
            async with self._client("", verify=self._context) as client:
                document = await fetch_document(self._target.name, value, client)
        else:
            document = await read_document(self._target.name, value)
        return document, self._base_url(document, place)

    def _base_url(self, document: Mapping[str, Any], place: str) -> str:
        given = self._target.options.get("base_url")
        servers = document.get("servers") or ([{"url": "/"}] if place else [])
        url = expand(given, "base_url") if given else urljoin(place, _server_url(servers[0])) if servers else ""
        if not url.startswith(("http://", "https://")):
            msg = f"connection {self._target.name!r}: the OpenAPI document does not say where its server is; "
            raise ConfigError(msg + "give base_url")
        return url

    @property
    def tools(self) -> OpenAPITools:
        """The operations."""
        return self._tools

    async def list_scenarios(self) -> Sequence[str]:
        """List none."""
        return ()

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> NoReturn:
        """Refuse: there are none."""
        del args
        msg = f"connection {self._target.name!r} is an OpenAPI server and has no scenario {scenario!r}"
        raise SetupError(msg)

    async def grade(self, answer: object) -> NoReturn:
        """Refuse: there is nothing to grade."""
        del answer
        msg = "nothing to grade: no scenario was set up"
        raise GraderError(msg)


def _server_url(server: Mapping[str, Any]) -> str:
    url = str(server.get("url", ""))
    for name, variable in (server.get("variables") or {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return url


def _result(response: httpx2.Response, call_id: str) -> ToolResult:
    if response.is_error:
        text = f"{response.status_code} {response.reason_phrase}: {response.text[:MAX_ERROR]}".rstrip(": ")
        return ToolResult.error(text, call_id)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            data = response.json()
        except ValueError:
            return ToolResult(content=(TextContent(text=response.text),), call_id=call_id)
        structured = data if isinstance(data, dict) else {"result": data}
        return ToolResult(content=(TextContent(text=response.text),), structuredContent=structured, call_id=call_id)
    return ToolResult(content=_blocks(response, kind), call_id=call_id)


def _blocks(response: httpx2.Response, kind: str) -> tuple[Content, ...]:
    if not response.content:
        return ()
    if not kind or kind.startswith("text/") or kind.endswith(("xml", "yaml")):
        return (TextContent(text=response.text),)
    data = base64.b64encode(response.content).decode()
    if kind.startswith("image/"):
        return (ImageContent(data=data, mimeType=kind),)
    if kind.startswith("audio/"):
        return (AudioContent(data=data, mimeType=kind),)
    return (ResourceContent(uri=str(response.url), data=data, mimeType=kind),)
