"""Results of tools as the messages that model APIs take back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hud_core.model.content import ImageContent, ResourceContent, TextContent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.environment.calls import MalformedCall
    from hud_core.model.content import Content
    from hud_core.model.tools import ToolCall, ToolResult

    Call = ToolCall | MalformedCall
    Wire = dict[str, Any]

CLAUDES_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""The images that Anthropic's API takes."""

ERROR = "[tool error] "
"""How the result of a failed call begins, where an API has no flag for it."""


def chat_message(call: Call, result: ToolResult) -> Wire:
    """Make a ``tool`` message of OpenAI's chat completions. It holds text alone, so other content is only named."""
    content = "\n".join(_text(block) or _named(block) for block in _content(result)) or "(no output)"
    return {"role": "tool", "tool_call_id": call.id, "content": _flagged(content, result)}


def responses_item(call: Call, result: ToolResult) -> Wire:
    """Make a ``function_call_output`` item of OpenAI's Responses API."""
    output = _text_or_parts(result, lambda text: {"type": "input_text", "text": text}, _responses_part)
    if isinstance(output, str):
        output = _flagged(output, result)
    elif result.is_error:
        output = [{"type": "input_text", "text": ERROR.strip()}, *output]
    return {"type": "function_call_output", "call_id": call.id, "output": output}


def claude_block(call: Call, result: ToolResult) -> Wire:
    """Make a ``tool_result`` block of Anthropic's messages. That of a failed call holds text alone: the API says so."""
    as_part = _no_part if result.is_error else _claude_part
    content = _text_or_parts(result, lambda text: {"type": "text", "text": text}, as_part)
    flag = {"is_error": True} if result.is_error else {}
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **flag}


def gemini_part(call: Call, result: ToolResult) -> Wire:
    """Make a part with a function response of Google's Gemini API."""
    texts, parts = [], []
    for block in _content(result):
        text = _text(block)
        if text is None and (data := getattr(block, "data", None)):
            parts.append({"inline_data": {"mime_type": _mime_type(block), "data": data}})
        else:
            texts.append(text or _named(block))
    key = "error" if result.is_error else "result"
    response: Wire = {"name": call.name, "response": {key: "\n".join(texts)}}
    response |= {"id": call.id} if call.id else {}
    response |= {"parts": parts} if parts else {}
    return {"function_response": response}


# --- pieces -----------------------------------------------------------------------------------------------------------


def _content(result: ToolResult) -> tuple[Content, ...]:
    if not result.content and result.structured_content is not None:
        return (TextContent(text=json.dumps(result.structured_content)),)
    return result.content


def _flagged(text: str, result: ToolResult) -> str:
    return f"{ERROR}{text}" if result.is_error else text


def _text(block: Content) -> str | None:
    """Give a block as text; None for one that is bytes."""
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ResourceContent) and (block.text is not None or block.data is None):
        return "\n".join(filter(None, (block.uri, block.text)))
    return None


def _named(block: Content) -> str:
    """Say what a block is whose bytes cannot be sent."""
    size = len(getattr(block, "data", None) or "") * 3 // 4
    return f"[{_mime_type(block)}, {size} bytes, not shown]"


def _mime_type(block: Content) -> str:
    return getattr(block, "mime_type", None) or "application/octet-stream"


def _text_or_parts(
    result: ToolResult, as_text: Callable[[str], Wire], as_part: Callable[[Content, str, str], Wire | None]
) -> str | list[Wire]:
    """Give plain text where there is nothing else, and a list of parts otherwise."""
    blocks = _content(result)
    texts = [_text(block) for block in blocks]
    if None not in texts:
        return "\n".join(filter(None, texts)) or "(no output)"
    parts = []
    for block, text in zip(blocks, texts, strict=True):
        part = None if text is not None else as_part(block, _mime_type(block), getattr(block, "data", None) or "")
        parts.append(part or as_text(text or _named(block)))
    return parts


def _responses_part(block: Content, mime_type: str, data: str) -> Wire | None:
    url = f"data:{mime_type};base64,{data}"
    if isinstance(block, ImageContent) or mime_type.startswith("image/"):
        return {"type": "input_image", "image_url": url}
    if isinstance(block, ResourceContent):
        return {"type": "input_file", "filename": block.uri.rstrip("/").rpartition("/")[2], "file_data": url}
    return None


def _no_part(*_: object) -> None:
    """Leave a block out, to be named in words."""


def _claude_part(block: Content, mime_type: str, data: str) -> Wire | None:  # noqa: ARG001  as its siblings
    source = {"type": "base64", "media_type": mime_type, "data": data}
    if mime_type in CLAUDES_IMAGES:
        return {"type": "image", "source": source}
    return {"type": "document", "source": source} if mime_type == "application/pdf" else None
