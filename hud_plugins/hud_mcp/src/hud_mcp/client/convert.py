"""MCP's types as the kernel's, and back. The only place where both meet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import TypeAdapter

from hud_core.environment.values import as_block
from hud_core.model.content import Message, Prompt, ResourceContent, TextContent
from hud_core.model.publications import ListedPrompt, ListedResource, PromptArgument
from hud_core.model.tools import Tool, ToolResult
from hud_mcp import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp import types

    from hud_core.model.content import Content, Role


def tool_from(tool: types.Tool) -> Tool:
    """Read a server's description of a tool."""
    hints = {
        "title": tool.title,
        "output_schema": tool.output_schema,
        "annotations": tool.annotations and tool.annotations.model_dump(by_alias=True, exclude_none=True),
    }
    return Tool(
        name=tool.name,
        description=tool.description or "",
        input_schema=dict(tool.input_schema),
        meta={**{key: value for key, value in hints.items() if value}, **(tool.meta or {})},
    )


RESULT: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
"""What the SDK is to make of a call's result: it has checked the JSON data against the protocol, and models of them are
of no use here. They would take a twentieth of a call's time."""


def result_from(result: Mapping[str, Any], call_id: str) -> ToolResult:
    """Read the result of a call.

    Raises:
        ValueError: It is none, but asks something.
    """
    if "content" not in result:
        raise ValueError("the server asks its client something, and hud answers no such questions")
    return ToolResult(
        content=map(_block_from, result["content"]),
        structuredContent=result.get("structuredContent"),
        isError=bool(result.get("isError")),
        call_id=call_id,
    )


def _block_from(block: dict[str, Any]) -> Content:
    """Read a content block; one of a kind that the kernel does not know is its JSON text."""
    if block["type"] == "text":  # nearly all of them; `as_block` looks for what this knows
        return TextContent(text=block["text"])
    return as_block(block) or TextContent(text=json.dumps(block, ensure_ascii=False))


def prompt_from(result: types.GetPromptResult) -> Prompt:
    """Read the prompt of a scenario, with roles and images."""
    meta = result.meta or {}
    system, schema = meta.get(wire.SYSTEM), meta.get(wire.SCHEMA)
    return Prompt(
        messages=_messages(result.messages, meta.get(wire.MESSAGES)),
        system=system if isinstance(system, str) else None,
        answer_schema=schema if isinstance(schema, dict) else None,
        setup_output=_read_blocks(meta.get(wire.SETUP_OUTPUT)),
        enable_citations=meta.get(wire.CITATIONS) is True,
    )


def _read_blocks(blocks: object) -> tuple[Content, ...]:
    """Read content blocks that came as JSON data."""
    found = map(as_block, blocks if isinstance(blocks, list) else ())
    return tuple(block for block in found if block is not None)


def listed_prompt(prompt: types.Prompt) -> ListedPrompt:
    """Read a server's description of a prompt."""
    return ListedPrompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description or "",
        arguments=tuple(
            PromptArgument(name=one.name, description=one.description or "", required=bool(one.required))
            for one in prompt.arguments or ()
        ),
        meta=dict(prompt.meta or {}),
    )


def listed_resource(resource: types.Resource | types.ResourceTemplate) -> ListedResource:
    """Read a server's description of a resource, or of a template."""
    template = getattr(resource, "uri_template", None)
    return ListedResource(
        uri=str(template or getattr(resource, "uri", "")),
        name=resource.name,
        title=resource.title,
        description=resource.description or "",
        mimeType=resource.mime_type,
        is_template=template is not None,
        meta=dict(resource.meta or {}),
    )


def contents_from(result: types.ReadResourceResult) -> list[ResourceContent]:
    """Read the parts of a resource."""
    return [
        ResourceContent(
            uri=str(part.uri),
            text=getattr(part, "text", None),
            data=getattr(part, "blob", None),
            mimeType=part.mime_type,
        )
        for part in result.contents
    ]


def _messages(flat: Sequence[types.PromptMessage], layout: object) -> tuple[Message, ...]:
    dumped = [message.content.model_dump(mode="json", by_alias=True, exclude_none=True) for message in flat]
    blocks = [_block_from(block) for block in dumped]
    messages, start = [], 0
    for role, size in _layout(layout, len(flat)) or _neighbours(flat):
        messages.append(Message(role=role, content=tuple(blocks[start : start + size])))
        start += size
    return tuple(messages)


def _layout(layout: object, number: int) -> list[tuple[Role, int]] | None:
    """Read a server's word on which blocks are one message; None where it cannot be right."""
    try:
        parts = msgspec.convert(layout, list[tuple[Literal["user", "assistant", "system"], int]])
    except msgspec.ValidationError:
        return None
    is_whole = sum(size for _, size in parts) == number and all(size >= 0 for _, size in parts)
    return [*parts] if is_whole else None


def _neighbours(flat: Sequence[types.PromptMessage]) -> list[tuple[Role, int]]:
    sizes: list[tuple[Role, int]] = []
    for message in flat:
        if sizes and sizes[-1][0] == message.role:
            sizes[-1] = (message.role, sizes[-1][1] + 1)
        else:
            sizes.append((message.role, 1))
    return sizes


def arguments_to(args: Mapping[str, Any]) -> dict[str, str]:
    """Write a scenario's arguments as a prompt's: text stays, anything else is JSON.

    Raises:
        TypeError: An argument is not JSON data.
        ValueError: An argument is not finite.
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value, allow_nan=False, ensure_ascii=False)
        for name, value in args.items()
    }
