"""Our tools, prompts, results and evaluations as MCP's types: the border that its types do not cross."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types

from hud_core.environment.signature import to_json_data
from hud_core.model.content import AudioContent, ImageContent, TextContent
from hud_mcp import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hud_core.environment.scenario import ScenarioHandle
    from hud_core.model.content import Content, Message, Prompt, ResourceContent
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.publications import ListedPrompt, ListedResource
    from hud_core.model.tools import Tool, ToolResult

DEFAULT_RESOURCE_TYPE = "application/octet-stream"


def mcp_tool(tool: Tool) -> types.Tool:
    """Describe a tool; hints that MCP has a place for go there."""
    hints = {key: value for key, value in tool.meta.items() if key not in ("title", "output_schema", "annotations")}
    return types.Tool(
        name=tool.name,
        title=tool.meta.get("title"),
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.meta.get("output_schema"),
        annotations=tool.meta.get("annotations"),
        _meta=hints or None,
    )


def mcp_result(result: ToolResult, *, objects_only: bool) -> types.CallToolResult:
    """Turn a tool's result over; what is no object is left out of the data where the protocol takes objects only."""
    data = result.structured_content
    return types.CallToolResult(
        content=[mcp_block(block) for block in result.content],
        structured_content=None if objects_only and not isinstance(data, dict) else data,
        is_error=result.is_error,
    )


def mcp_block(block: Content) -> types.ContentBlock:
    """Turn a content block over."""
    if isinstance(block, TextContent):
        return types.TextContent(text=block.text)
    if isinstance(block, ImageContent):
        return types.ImageContent(data=block.data, mime_type=block.mime_type)
    if isinstance(block, AudioContent):
        return types.AudioContent(data=block.data, mime_type=block.mime_type)
    return _resource(block)


def wire_block(block: Content) -> dict[str, Any]:
    """Give a content block as JSON data of the protocol."""
    return mcp_block(block).model_dump(mode="json", by_alias=True, exclude_none=True)


def _resource(block: ResourceContent) -> types.EmbeddedResource | types.ResourceLink:
    if block.text is None and block.data is None:
        name = block.uri.rstrip("/").rpartition("/")[2] or block.uri
        return types.ResourceLink(uri=block.uri, name=name, mime_type=block.mime_type)
    return types.EmbeddedResource(resource=mcp_contents(block))


def mcp_contents(block: ResourceContent) -> types.TextResourceContents | types.BlobResourceContents:
    """Turn a document over, its text or its bytes."""
    if block.text is not None:
        return types.TextResourceContents(uri=block.uri, text=block.text, mime_type=block.mime_type)
    mime_type = block.mime_type or DEFAULT_RESOURCE_TYPE
    return types.BlobResourceContents(uri=block.uri, blob=block.data or "", mime_type=mime_type)


def mcp_prompt(prompt: ListedPrompt) -> types.Prompt:
    """Describe a prompt."""
    arguments = [
        types.PromptArgument(name=one.name, description=one.description or None, required=one.required)
        for one in prompt.arguments
    ]
    return types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=arguments,
        _meta=prompt.meta or None,
    )


def mcp_listed(resource: ListedResource) -> types.Resource | types.ResourceTemplate:
    """Describe a resource, or a template."""
    about: dict[str, Any] = {
        "name": resource.name,
        "title": resource.title,
        "description": resource.description,
        "mime_type": resource.mime_type,
        "_meta": resource.meta or None,
    }
    if resource.is_template:
        return types.ResourceTemplate(uri_template=resource.uri, **about)
    return types.Resource(uri=resource.uri, **about)


def mcp_messages(prompt: Prompt) -> list[types.PromptMessage]:
    """Give a prompt's messages: MCP's hold one block each, and know no role ``system``."""
    return [_message(message, block) for message in prompt.messages for block in message.content]


def _message(message: Message, block: Content) -> types.PromptMessage:
    return types.PromptMessage(role="assistant" if message.role == "assistant" else "user", content=mcp_block(block))


def prompt_meta(prompt: Prompt) -> dict[str, Any]:
    """Give what a prompt has and MCP's messages cannot say, for clients of ours to put together again."""
    meta: dict[str, Any] = {}
    shape = [[message.role, len(message.content)] for message in prompt.messages]
    if len(shape) > 1 or shape != [["user", 1]]:
        meta[wire.MESSAGES] = shape
    if prompt.system is not None:
        meta[wire.SYSTEM] = prompt.system
    if prompt.answer_schema is not None:
        meta[wire.SCHEMA] = prompt.answer_schema
    if prompt.enable_citations:
        meta[wire.CITATIONS] = True
    return meta


def scenario_meta(handle: ScenarioHandle[...]) -> dict[str, Any]:
    """Describe a scenario for harnesses: its parameters and options. Its source stays here."""
    options = handle.options
    meta: dict[str, Any] = {
        "arguments": [_argument(name, schema, handle) for name, schema in _properties(handle)],
        "required_env_vars": list(options.required_env_vars),
        **option_meta(handle),
    }
    if handle.answer_type is not None and handle.answer_type.schema is not None:
        meta["returns_schema"] = handle.answer_type.schema
    return {key: value for key, value in meta.items() if value or key == "arguments"}


def option_meta(handle: ScenarioHandle[...]) -> dict[str, Any]:
    """Give the options of a scenario that say what its agent sees."""
    options = handle.options
    meta = {
        "exclude_tools": list(options.exclude_tools),
        "exclude_sources": list(options.exclude_sources),
        "allowed_tools": list(options.allowed_tools),
        wire.CITATIONS: options.enable_citations,
    }
    return {key: value for key, value in meta.items() if value}


def _properties(handle: ScenarioHandle[...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from handle.signature.schema["properties"].items()


def _argument(name: str, schema: Mapping[str, Any], handle: ScenarioHandle[...]) -> dict[str, Any]:
    argument: dict[str, Any] = {"name": name, "required": handle.signature.parameters[name].is_required}
    if "default" in schema:
        argument["default"] = schema["default"]
    if isinstance(schema.get("type"), str):
        return {**argument, "type": schema["type"]}
    whole = {**schema, **({"$defs": defs} if (defs := handle.signature.schema.get("$defs")) else {})}
    return {**argument, "inputSchema": whole} if schema else {**argument, "type": "string"}


def scenario_prompt(environment: str, handle: ScenarioHandle[...]) -> types.Prompt:
    """Describe a scenario as the prompt that sets it up."""
    arguments = [
        types.PromptArgument(
            name=name,
            description=schema.get("description"),
            required=handle.signature.parameters[name].is_required,
        )
        for name, schema in _properties(handle)
    ]
    return types.Prompt(
        name=f"{environment}:{handle.name}",
        description=f"[Setup] {handle.description}",
        arguments=arguments,
        _meta=scenario_meta(handle),
    )


def scenario_resource(environment: str, handle: ScenarioHandle[...]) -> types.Resource:
    """Describe a scenario as the resource that grades it."""
    return types.Resource(
        uri=f"{environment}:{handle.name}",
        name=handle.name,
        description=f"[Evaluate] {handle.description}",
        mime_type="application/json",
        _meta=scenario_meta(handle),
    )


def listed_scenario_resource(scenario: ListedPrompt) -> types.Resource:
    """Describe a connection's scenario as the resource that grades it."""
    return types.Resource(
        uri=scenario.name,
        name=scenario.name.rpartition(":")[2],
        description=scenario.description.replace("[Setup]", "[Evaluate]", 1),
        mime_type="application/json",
    )


def evaluation_data(evaluation: Evaluation) -> dict[str, Any]:
    """Give an evaluation as the JSON object that the wire has."""
    data: dict[str, Any] = {
        "reward": evaluation.reward,
        "done": evaluation.done,
        "info": to_json_data(evaluation.info),
        "isError": evaluation.is_error,
    }
    if evaluation.content is not None:
        data["content"] = evaluation.content
    if evaluation.subscores is not None:
        data["subscores"] = [
            {"name": score.name, "weight": score.weight, "value": score.value} for score in evaluation.subscores
        ]
    return data
