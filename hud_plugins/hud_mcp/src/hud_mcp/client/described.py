"""What a server offers, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_mcp.client.lists import everything

if TYPE_CHECKING:
    from mcp import Client, types
    from mcp.types import RequestParamsMeta

    from hud_core.model.publications import ListedPrompt


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
    # A scenario is a prompt and a resource of one name.
    names = {resource.uri for resource in resources} & {prompt["name"] for prompt in prompts}
    return {
        "tools": [_tool(tool) for tool in tools],
        "scenarios": [prompt for prompt in prompts if prompt["name"] in names],
        "prompts": [prompt for prompt in prompts if prompt["name"] not in names],
        "resources": [resource_data(it.uri, it.name, it.mime_type) for it in resources if it.uri not in names],
        "templates": [resource_data(it.uri_template, it.name, it.mime_type) for it in templates],
    }


def _tool(tool: types.Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description or "", "inputSchema": tool.input_schema}


def prompt_data(prompt: types.Prompt | ListedPrompt) -> dict[str, Any]:
    """Give a prompt, or a scenario, as data."""
    description = (prompt.description or "").removeprefix("[Setup] ")
    arguments = [{"name": it.name, "required": bool(it.required)} for it in prompt.arguments or ()]
    return {"name": prompt.name, "description": description, "arguments": arguments}


def resource_data(uri: str, name: str, mime_type: str | None) -> dict[str, Any]:
    """Give a resource, or a template of resources, as data."""
    return {"uri": uri, "name": name, "mimeType": mime_type}
