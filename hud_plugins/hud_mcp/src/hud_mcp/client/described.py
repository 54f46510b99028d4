"""What a server offers, as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hud_mcp.client.convert import contents_from
from hud_mcp.client.lists import everything

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from mcp import Client, types
    from mcp.types import RequestParamsMeta

    from hud_core.model.content import ResourceContent
    from hud_core.model.publications import ListedPrompt, ListedResource, PromptArgument
    from hud_core.model.tools import Tool

_FUNCTIONS = ("{}://functions", "file:///{}/functions")
"""The resources in which a tool that calls functions by name lists them: as routers of ours do, and hud-python's."""


async def described(client: Client, meta: RequestParamsMeta | None) -> dict[str, Any]:
    """Ask a server for all that it lists: its tools, scenarios, prompts, resources and templates.

    Args:
        client: The way to the server.
        meta: What shows that it is the harness who asks; the others are not told of scenarios.
    """
    tools = await everything(client, "tools")
    prompts = [prompt_data(prompt) for prompt in await everything(client, "prompts", meta=meta)]
    resources = await everything(client, "resources", meta=meta)
    templates = await everything(client, "resource_templates")

    async def read(uri: str) -> list[ResourceContent]:
        return contents_from(await client.read_resource(uri))

    # A scenario is a prompt and a resource of one name.
    uris = {resource.uri for resource in resources}
    names = uris & {prompt["name"] for prompt in prompts}
    return {
        "tools": [await tool_data(tool, uris, read) for tool in tools],
        "scenarios": [prompt for prompt in prompts if prompt["name"] in names],
        "prompts": [prompt for prompt in prompts if prompt["name"] not in names],
        "resources": [resource_data(it.uri, it) for it in resources if it.uri not in names],
        "templates": [resource_data(it.uri_template, it) for it in templates],
    }


async def tool_data(
    tool: types.Tool | Tool, uris: Collection[str], read: Callable[[str], Awaitable[Iterable[ResourceContent]]]
) -> dict[str, Any]:
    """Give a tool as data, with the functions that it calls by name, if it is one that does.

    Args:
        tool: The tool.
        uris: The resources that are beside it.
        read: Reads one of them.
    """
    data = {"name": tool.name, "description": tool.description or "", "inputSchema": tool.input_schema}
    uri = next((uri for form in _FUNCTIONS if (uri := form.format(tool.name)) in uris), None)
    if uri is None:
        return data
    try:
        names = json.loads("".join(part.text or "" for part in await read(uri)))
    except ValueError:  # the resource is called so, and is another
        return data
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return {**data, "internalTools": names} if is_list else data


def prompt_data(prompt: types.Prompt | ListedPrompt) -> dict[str, Any]:
    """Give a prompt, or a scenario, as data."""
    description = (prompt.description or "").removeprefix("[Setup] ")
    meta = prompt.meta or {}
    told = {one["name"]: one for one in _records(meta.get("arguments")) if isinstance(one.get("name"), str)}
    arguments = [_argument(it, told.get(it.name, {})) for it in prompt.arguments or ()]
    hidden = {name: meta[name] for name in ("exclude_tools", "exclude_sources") if meta.get(name)}
    return {"name": prompt.name, "description": description, "arguments": arguments, **hidden}


def _records(value: object) -> list[dict[str, Any]]:
    """Give the records of a list from elsewhere, which may be anything."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _argument(argument: types.PromptArgument | PromptArgument, told: dict[str, Any]) -> dict[str, Any]:
    """Give an argument, with what MCP's own form of it cannot say: its type, and what it is by default."""
    described = {"description": argument.description} if argument.description else {}
    more: dict[str, Any] = {name: told[name] for name in ("default", "type", "inputSchema") if name in told}
    return {"name": argument.name, "required": bool(argument.required), **described, **more}


def resource_data(uri: str, resource: types.Resource | types.ResourceTemplate | ListedResource) -> dict[str, Any]:
    """Give a resource, or a template of resources, as data."""
    description = resource.description or ""
    return {"uri": uri, "name": resource.name, "description": description, "mimeType": resource.mime_type}
