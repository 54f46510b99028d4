"""What users return and yield, as the kernel's data: tool results, prompts, evaluations.

Content blocks are recognised by their shape, so those of MCP's and the reference SDK's types work as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hud_core.environment.signature import to_json_data
from hud_core.errors import GraderError, SetupError
from hud_core.model.content import AudioContent, Content, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import Evaluation, SubScore
from hud_core.model.tools import ToolResult

_BLOCKS = (TextContent, ImageContent, AudioContent, ResourceContent)
_ROLES = ("user", "assistant", "system")


# --- content ----------------------------------------------------------------------------------------------------------


def as_block(value: Any) -> Content | None:
    """Read a content block of ours, of MCP's or of a dict's; None for anything else."""
    if isinstance(value, _BLOCKS):
        return value
    get = value.get if isinstance(value, Mapping) else lambda key: getattr(value, key, None)
    kind = get("type")
    if kind == "text" and isinstance(get("text"), str):
        return TextContent(text=get("text"))
    data = get("data")
    mime_type = get("mimeType") or get("mime_type")
    if kind in ("image", "audio") and isinstance(data, str | bytes):
        encoded = base64.b64encode(data).decode() if isinstance(data, bytes) else data
        block = ImageContent if kind == "image" else AudioContent
        return block(data=encoded, mimeType=mime_type) if mime_type else block(data=encoded)
    if kind in ("resource", "resource_link"):
        return _resource(get("resource") or value)
    return None


def _resource(value: Any) -> ResourceContent | None:
    get = value.get if isinstance(value, Mapping) else lambda key: getattr(value, key, None)
    if not get("uri"):
        return None
    mime_type = get("mimeType") or get("mime_type")
    return ResourceContent(uri=str(get("uri")), text=get("text"), data=get("blob") or get("data"), mimeType=mime_type)


# --- tools ------------------------------------------------------------------------------------------------------------


def tool_result(value: Any) -> ToolResult:
    """Turn what a tool function returned into a result.

    Text is one text block; nothing is no block; content blocks stay; any other value is JSON text and structured content.

    Raises:
        TypeError: The value has no JSON form.
    """
    if isinstance(value, str):
        return ToolResult(content=(TextContent(text=value),))
    if value is None:
        return ToolResult()
    if isinstance(value, ToolResult):
        return value
    if (block := as_block(value)) is not None:
        return ToolResult(content=(block,))
    if isinstance(value, list | tuple) and value and (blocks := _all_blocks(value)):
        return ToolResult(content=blocks)
    if hasattr(value, "to_content_blocks"):  # the reference's ContentResult
        return tool_result(value.to_content_blocks())
    data = to_json_data(value)
    text = msgspec.json.encode(data).decode()
    return ToolResult(
        content=(TextContent(text=text),), structuredContent=data if isinstance(data, dict) else {"result": data}
    )


def _all_blocks(values: list[Any] | tuple[Any, ...]) -> tuple[Content, ...]:
    """Read a list as content blocks, strings among them; nothing if one item is something else."""
    blocks = tuple(as_block(value) for value in values)
    if not any(blocks):
        return ()
    texts = (TextContent(text=v) if isinstance(v, str) else b for v, b in zip(values, blocks, strict=True))
    complete = tuple(block for block in texts if block is not None)
    return complete if len(complete) == len(values) else ()


# --- the first yield --------------------------------------------------------------------------------------------------


def prompt_from(value: Any) -> Prompt:
    """Turn a scenario's first yield into a prompt.

    Raises:
        SetupError: It is empty, or not text, a block, a message or a list of them.
    """
    if isinstance(value, Prompt):
        return value
    messages = tuple(_messages(value))
    if not any(block for message in messages for block in message.content if getattr(block, "text", True)):
        msg = f"the scenario's first yield is an empty prompt: {value!r}"
        raise SetupError(msg)
    return Prompt(messages=messages)


def _messages(value: Any) -> Iterator[Message]:
    """Read messages; blocks and texts that stand side by side in a list, such as text and its image, are one."""
    bare: list[Content] = []
    for item in value if isinstance(value, list | tuple) else [value]:
        block = TextContent(text=item) if isinstance(item, str) else as_block(item)
        if block is not None:
            bare.append(block)
            continue
        if bare:
            yield Message(content=tuple(bare))
            bare = []
        yield _message(item, value)
    if bare:
        yield Message(content=tuple(bare))


def _message(item: Any, whole: Any) -> Message:
    if isinstance(item, Message):
        return item
    get = item.get if isinstance(item, Mapping) else lambda key: getattr(item, key, None)
    role, content = get("role"), get("content")
    if role in _ROLES and content is not None:
        return Message(role=role, content=_message_content(content, whole))
    raise _not_a_prompt(item, whole)


def _message_content(content: Any, whole: Any) -> tuple[Content, ...]:
    items = content if isinstance(content, list | tuple) else [content]
    blocks = tuple(TextContent(text=item) if isinstance(item, str) else as_block(item) for item in items)
    for item, block in zip(items, blocks, strict=True):
        if block is None:
            raise _not_a_prompt(item, whole)
    return tuple(block for block in blocks if block is not None)


def _not_a_prompt(item: Any, whole: Any) -> SetupError:
    inside = "" if item is whole else f" inside a {type(whole).__name__}"
    return SetupError(
        f"the scenario's first yield must be a str, a content block, a message or a list of them, "
        f"got {type(item).__name__} {item!r}{inside}"
    )


# --- the second yield -------------------------------------------------------------------------------------------------


def evaluation_from(value: Any) -> Evaluation:
    """Turn a scenario's second yield into an evaluation.

    Raises:
        GraderError: It is not a finite number, a bool, an evaluation, a dict of one or a list of sub-scores.
    """
    try:
        return _evaluation(value)
    except (TypeError, ValueError) as error:
        msg = f"the scenario's second yield is not a score: {error}"
        raise GraderError(msg) from error


def _evaluation(value: Any) -> Evaluation:
    if isinstance(value, bool | int | float):
        return Evaluation(reward=value)
    if isinstance(value, Evaluation):
        if value.is_error:
            raise GraderError(value.content or "the scenario reported that grading failed (isError)")
        return value
    if isinstance(value, dict):
        return _evaluation_from_dict(value)
    if isinstance(value, list | tuple) and value and all(isinstance(item, SubScore) for item in value):
        return Evaluation.from_subscores(value)
    if isinstance(value, SubScore):
        return Evaluation.from_subscores([value])
    if hasattr(value, "item") and not hasattr(value, "__len__"):  # a numpy or torch scalar
        return _evaluation(value.item())
    msg = (
        "expected a bool, a number, an EvaluationResult, a dict with 'reward' or a list of SubScore, "
        f"got {type(value).__name__} {value!r}"
    )
    raise TypeError(msg)


def _evaluation_from_dict(value: dict[str, Any]) -> Evaluation:
    if "reward" not in value:
        msg = f"the dict has no 'reward', only {', '.join(map(repr, value)) or 'nothing'}"
        raise TypeError(msg)
    known = {"reward", "done", "content", "info", "isError", "subscores"}
    fields = {key: item for key, item in value.items() if key in known}
    extra = {key: item for key, item in value.items() if key not in known}
    subscores = fields.pop("subscores", None)
    scores = subscores and [SubScore(**item) if isinstance(item, dict) else item for item in subscores]
    info = {**(fields.pop("info", None) or {}), **extra}
    return _evaluation(Evaluation(**fields, info=info, subscores=scores))
