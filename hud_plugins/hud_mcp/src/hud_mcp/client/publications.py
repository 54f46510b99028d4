"""The prompts and resources of a server, as a session's; those that are scenarios are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mcp import Client, MCPError
from pydantic import ValidationError

from hud_core.environment.publications import UnknownPublicationError
from hud_core.errors import ToolError
from hud_mcp.client.connection import Connection, text_of
from hud_mcp.client.convert import arguments_to, contents_from, listed_prompt, listed_resource, prompt_from
from hud_mcp.client.lists import everything

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mcp.types import RequestParamsMeta

    from hud_core.model.content import Prompt, ResourceContent
    from hud_core.model.publications import ListedPrompt, ListedResource

T = TypeVar("T")


class MCPPublications:
    """The prompts and resources of one server. Like its tools, it knows no capability of a harness.

    A scenario is a prompt with a ``:`` in its name and a resource of the same name. To get the one sets an episode up,
    and to read the other ends it: neither is published.

    Args:
        connection: The way to the server.
        meta: Gives what says which episode a request belongs to.
    """

    def __init__(self, connection: Connection, meta: Callable[[], RequestParamsMeta | None]) -> None:
        self._connection = connection
        self._meta = meta

    async def list_prompts(self) -> Sequence[ListedPrompt]:
        """List the prompts; errors as for `get_prompt`."""
        return [listed_prompt(prompt) for prompt in await self._list("prompts") if ":" not in prompt.name]

    async def list_resources(self) -> Sequence[ListedResource]:
        """List the resources and templates; errors as for `read_resource`."""
        resources, templates = await self._list("resources"), await self._list("resource_templates")
        scenarios = await self._scenarios() if resources else frozenset()
        listed = [*resources, *templates]
        return [listed_resource(one) for one in listed if getattr(one, "uri", None) not in scenarios]

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> Prompt:
        """Give a prompt; arguments that are no text are sent as JSON.

        Raises:
            UnknownPublicationError: It is a scenario's.
            ToolError: The server refused, or breaks the protocol; or an argument is no JSON data.
            BackendError: The connection is lost.
        """
        if ":" in name:
            raise UnknownPublicationError("prompt", name, [prompt.name for prompt in await self.list_prompts()])
        try:
            texts = arguments_to(arguments)
        except (TypeError, ValueError) as error:
            msg = f"prompt {name!r}: an argument is not JSON data: {error}"
            raise ToolError(msg) from error
        what = f"prompt {name!r}"
        return prompt_from(await self._ask(what, lambda client: client.get_prompt(name, texts, meta=self._meta())))

    async def read_resource(self, uri: str) -> Sequence[ResourceContent]:
        """Read a resource.

        Raises:
            UnknownPublicationError: It is a scenario's.
            ToolError: The server refused, or breaks the protocol.
            BackendError: The connection is lost.
        """
        if uri in await self._scenarios():
            raise UnknownPublicationError("resource", uri, [one.uri for one in await self.list_resources()])
        what = f"resource {uri!r}"
        return contents_from(await self._ask(what, lambda client: client.read_resource(uri, meta=self._meta())))

    async def _scenarios(self) -> frozenset[str]:
        return frozenset(prompt.name for prompt in await self._list("prompts") if ":" in prompt.name)

    async def _list(self, kind: str) -> list[Any]:
        return await self._ask(f"the list of {kind}", lambda client: everything(client, kind, meta=self._meta()))

    async def _ask(self, what: str, request: Callable[[Client], Awaitable[T]]) -> T:
        try:
            return await self._connection.ask(request, repeatable=True)
        except MCPError as error:
            msg = f"{what} of {self._connection}: {text_of(error)}"
            raise ToolError(msg) from error
        except ValidationError as error:
            msg = f"{what} of {self._connection} breaks the protocol: {error}"
            raise ToolError(msg) from error
