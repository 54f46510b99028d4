"""Messages between a job and its children, in MessagePack: requests, responses, and the kernel's records in them.

Records travel under their attribute names (``mime_type``, not ``mimeType``). Nothing is lost on the way: bytes, NaN,
keys that are no text and integers of any size arrive as they were; tuples in free-form data arrive as lists.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.environment.signature import to_json_data
from hud_core.model.content import AudioContent, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import Answer, Evaluation
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.model.content import Content

_BLOCKS = {"text": TextContent, "image": ImageContent, "audio": AudioContent, "resource": ResourceContent}
_BIG_INT = 1
_NATIVE_INTS = range(-(2**63), 2**64)
_BUILTIN_TYPES = (bytes, bytearray, memoryview, dt.datetime, dt.date, dt.time)


NOTHING = msgspec.Raw(msgspec.msgpack.encode(None))
"""The payload of a message that needs none."""


class Failure(msgspec.Struct, array_like=True):
    """An exception on its way to the other process."""

    kind: str
    """The name of the kernel's exception class, or of a Python one that means something for a rollout."""
    text: str
    details: dict[str, Any] = {}
    """The further arguments of the class."""


class Request(msgspec.Struct, array_like=True):
    """Something to do. A response with the same number follows, except for a cancel."""

    number: int
    method: str
    payload: msgspec.Raw = NOTHING


class Response(msgspec.Struct, array_like=True):
    """What came of a request: a payload or a failure."""

    number: int
    payload: msgspec.Raw = NOTHING
    failure: Failure | None = None


def _fallback(value: Any) -> Any:
    """Send what a user put into free-form data: as data if it has any, as its repr otherwise, as the journal does."""
    try:
        return to_json_data(value)
    except TypeError:
        return repr(value)


_lenient = msgspec.msgpack.Encoder(enc_hook=_fallback)
_strict = msgspec.msgpack.Encoder(enc_hook=to_json_data)


def encode(value: Any, *, lenient: bool = True) -> bytes:
    """Encode a message, a record or data.

    Args:
        value: What to send.
        lenient: Whether an object that is no data is sent as its repr.

    Raises:
        TypeError: It is no data, and `lenient` is false.
        ValueError: It is text that cannot be encoded, such as half a surrogate pair.
    """
    encoder = _lenient if lenient else _strict
    try:
        return encoder.encode(value)
    except OverflowError:
        data = msgspec.to_builtins(value, builtin_types=_BUILTIN_TYPES, enc_hook=encoder.enc_hook)
        return encoder.encode(_mark_big_ints(data))


def _mark_big_ints(data: Any) -> Any:
    """Replace integers that MessagePack has no form for."""
    if isinstance(data, dict):
        return {key: _mark_big_ints(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_mark_big_ints(item) for item in data]
    if type(data) is int and data not in _NATIVE_INTS:
        return msgspec.msgpack.Ext(_BIG_INT, f"{data:x}".encode())
    return data


def _read_extension(code: int, data: memoryview) -> Any:
    return int(bytes(data), 16) if code == _BIG_INT else msgspec.msgpack.Ext(code, bytes(data))


def _decoder(annotation: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    return msgspec.msgpack.Decoder(annotation, ext_hook=_read_extension).decode


decode = _decoder(Any)
decode_request: Callable[[bytes], Request] = _decoder(Request)
decode_response: Callable[[bytes], Response] = _decoder(Response)
decode_answer: Callable[[bytes | msgspec.Raw], Answer] = _decoder(Answer)
decode_call: Callable[[bytes | msgspec.Raw], ToolCall] = _decoder(ToolCall)
decode_tools: Callable[[bytes | msgspec.Raw], list[Tool]] = _decoder(list[Tool])
decode_evaluation: Callable[[bytes | msgspec.Raw], Evaluation] = _decoder(Evaluation)


def decode_prompt(payload: bytes | msgspec.Raw) -> Prompt:
    """Decode a prompt."""
    data = decode(payload)
    messages = (Message(**{**message, "content": _blocks(message["content"])}) for message in data["messages"])
    return Prompt(**{**data, "messages": tuple(messages), "setup_output": _blocks(data["setup_output"])})


def decode_result(payload: bytes | msgspec.Raw) -> ToolResult:
    """Decode a tool's result."""
    data = decode(payload)
    content, structured, is_error = data.pop("content"), data.pop("structured_content"), data.pop("is_error")
    return ToolResult(content=_blocks(content), structuredContent=structured, isError=is_error, **data)


def _blocks(blocks: list[dict[str, Any]]) -> tuple[Content, ...]:
    """Read content blocks, told apart by their type, which `msgspec` does for its own classes only."""
    return tuple(msgspec.convert(block, _BLOCKS[block["type"]]) for block in blocks)
