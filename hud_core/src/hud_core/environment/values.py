"""What users return and yield, as the kernel's data: tool results, prompts, evaluations.

Content blocks are recognised by their shape, so those of MCP's and the reference SDK's types work as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import evolve

from hud_core.environment.json_codec import encode
from hud_core.errors import GraderError, SetupError
from hud_core.model.content import AudioContent, Content, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import Evaluation, SubScore
from hud_core.model.tools import ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCKS = (TextContent, ImageContent, AudioContent, ResourceContent)
_PLAIN = (bool, int)
_ROLES = ("user", "assistant", "system")
_EVALUATION_KEYS = frozenset({"reward", "done", "content", "info", "isError", "subscores"})


# --- content ----------------------------------------------------------------------------------------------------------


def getter(value: Any) -> Callable[[str], Any]:
    """Give what reads a key of a mapping or an attribute of any other object; None where there is none."""
    return value.get if isinstance(value, Mapping) else partial(_attribute, value)


def _attribute(value: object, name: str) -> Any:
    return getattr(value, name, None)


def as_block(value: Any) -> Content | None:
    """Read a content block of ours, of MCP's or of a dict's; None for anything else."""
    if isinstance(value, _BLOCKS):
        return value
    get = getter(value)
    kind = get("type")
    text, data = get("text"), get("data")
    if kind == "text" and isinstance(text, str):
        return TextContent(text=text)
    mime_type = get("mimeType") or get("mime_type")
    if kind in ("image", "audio") and isinstance(data, str | bytes):
        encoded = base64.b64encode(data).decode() if isinstance(data, bytes) else data
        block = ImageContent if kind == "image" else AudioContent
        return block(data=encoded, mimeType=mime_type) if mime_type else block(data=encoded)
    if kind in ("resource", "resource_link"):
        return _resource(get("resource") or value)
    return None


def _resource(value: Any) -> ResourceContent | None:
    get = getter(value)
    if not get("uri"):
        return None
    mime_type = get("mimeType") or get("mime_type")
    return ResourceContent(uri=str(get("uri")), text=get("text"), data=get("blob") or get("data"), mimeType=mime_type)


# --- tools ------------------------------------------------------------------------------------------------------------


def tool_result(value: Any, call_id: str = "") -> ToolResult:
    """Turn what a tool function returned into a result.

    Text is one text block; nothing is no block; content blocks stay; any other value is JSON text, and structured
    content beside it. NaN and the infinities, which JSON does not have, are null.

    Raises:
        TypeError: The value has no JSON form.
    """
    if isinstance(value, ToolResult):
        return value if value.call_id == call_id else evolve(value, call_id=call_id)
    if type(value) in _PLAIN:  # the way of most tools; what follows gives the same in three times the time
        block = TextContent(text=msgspec.json.encode(value).decode())
        return ToolResult(content=(block,), structuredContent={"result": value}, call_id=call_id)
    blocks = _blocks(value)
    if blocks is not None:
        return ToolResult(content=blocks, call_id=call_id)
    if hasattr(value, "isError") and hasattr(value, "content"):  # MCP's own result
        return ToolResult(
            content=_blocks(value.content) or (),
            structuredContent=getattr(value, "structuredContent", None),
            isError=bool(value.isError),
            call_id=call_id,
        )
    if hasattr(value, "to_content_blocks"):  # the reference's ContentResult
        return tool_result(value.to_content_blocks(), call_id)
    text = msgspec.json.encode(value, enc_hook=encode)
    data = msgspec.json.decode(text)
    return ToolResult(
        content=(TextContent(text=text.decode()),),
        structuredContent=data if isinstance(data, dict) else {"result": data},
        call_id=call_id,
    )


def _blocks(value: Any) -> tuple[Content, ...] | None:
    """Read a value as content blocks; None for any other value. A dict is data here, whatever its keys are."""
    if isinstance(value, str):
        return (TextContent(text=value),)
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return None if any(isinstance(item, Mapping) for item in value) else _all_blocks(value) or None
    block = None if isinstance(value, Mapping) else as_block(value)
    return None if block is None else (block,)


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
    if type(value) is str and value.strip():  # the way of most scenarios
        return Prompt(messages=(Message(content=(TextContent(text=value),)),))
    prompt = value if isinstance(value, Prompt) else Prompt(messages=tuple(_messages(value)))
    blocks = [block for message in prompt.messages for block in message.content]
    if not any(not isinstance(block, TextContent) or block.text.strip() for block in blocks):
        msg = f"the scenario's first yield is an empty prompt: {value!r}"
        raise SetupError(msg)
    return prompt


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
    get = getter(item)
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


class NoScoreError(GraderError):
    """A scenario's second yield is nothing that could be a score."""


def evaluation_from(value: Any) -> Evaluation:
    """Turn a scenario's second yield into an evaluation.

    Raises:
        NoScoreError: It is not a finite number, a bool, an evaluation, a dict of one or a list of sub-scores.
        GraderError: It says that grading failed.
    """
    try:
        return _evaluation(value)
    except (TypeError, ValueError) as error:
        msg = f"the scenario's second yield is not a score: {error}"
        raise NoScoreError(msg) from error


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
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a scalar of numpy, torch and the like
        return _evaluation(value.item())
    msg = (
        "expected a bool, a number, an EvaluationResult, a dict with 'reward' or a list of SubScore, "
        f"got {type(value).__name__} {value!r}"
    )
    raise TypeError(msg)


def _evaluation_from_dict(value: dict[str, Any]) -> Evaluation:
    """Read a dict as the reference does: keys that an evaluation does not have are part of its info."""
    if "reward" not in value:
        msg = f"the dict has no 'reward', only {', '.join(map(repr, value)) or 'nothing'}"
        raise TypeError(msg)
    fields = {key: item for key, item in value.items() if key in _EVALUATION_KEYS}
    info = {**(fields.pop("info", None) or {}), **{key: value[key] for key in value.keys() - _EVALUATION_KEYS}}
    subscores = fields.pop("subscores", None)
    if subscores is not None:
        subscores = [_subscore(item) for item in subscores]
    return _evaluation(Evaluation(**fields, info=info, subscores=subscores))


def _subscore(value: Any) -> SubScore:
    if isinstance(value, SubScore):
        return value
    if isinstance(value, dict):
        return SubScore(**value)
    msg = f"a sub-score must be a SubScore or a dict of one, got {type(value).__name__} {value!r}"
    raise TypeError(msg)
