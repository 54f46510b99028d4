"""Tool calls as model APIs give them, and results as they take them: plain data, without anybody's SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from attrs import frozen

from hud_core.environment.calls import MalformedCall, read_call
from hud_core.environment.result_messages import chat_message, claude_block, gemini_part, responses_item
from hud_core.environment.session import as_call
from hud_core.environment.values import getter
from hud_core.errors import ArgumentError
from hud_core.model.tools import ToolCall, ToolResult

Call = ToolCall | MalformedCall


class ToolFormat(StrEnum):
    """Whose form a tool call has, and so the form of its result."""

    OPENAI = "openai"
    """A tool call of OpenAI's chat completions, and of all who speak that API."""
    OPENAI_RESPONSES = "openai_responses"
    """A ``function_call`` item of OpenAI's Responses API."""
    CLAUDE = "claude"
    """A ``tool_use`` block of Anthropic's messages."""
    GEMINI = "gemini"
    """A part with a function call of Google's Gemini API, or that function call."""
    MCP = "mcp"
    """A plain name with arguments; its result is a `ToolResult`."""


@frozen
class _Form:
    """One format: how its calls are told, read and answered."""

    finds: Callable[[Any], object]
    """Gives the part of a call that has the name; None for a call of another format."""
    fields: tuple[str, str, str]
    """Where the name, the arguments and the id are in it."""
    answer: Callable[[Call, ToolResult], Any]
    id_is_outside: bool = False
    """Whether the id is beside that part, not in it."""

    def read(self, call: object) -> Call | None:
        """Read a call; None for one of another format."""
        part = self.finds(call)
        name, arguments, call_id = self.fields
        get = getter(part)
        if part is None or not isinstance(get(name), str):
            return None
        found = getter(call if self.id_is_outside else part)(call_id)
        return read_call(str.__str__(get(name)), _json(get(arguments)), "" if found is None else str(found))


def _json(arguments: object) -> str | Mapping[str, Any] | None:
    """Leave arguments of any other type to `read_call`, which says what is wrong with them."""
    return arguments if isinstance(arguments, str | Mapping | None) else json.dumps(arguments, default=repr)


def _typed(kind: str) -> Callable[[Any], object]:
    return lambda call: call if getter(call)("type") == kind else None


def _inner(*names: str) -> Callable[[Any], object]:
    return lambda call: next((value for name in names if (value := getter(call)(name)) is not None), None)


def _with(key: str) -> Callable[[Any], object]:
    """Tell a call by a key that may be None. One that names its type is of another format, or not ours to make."""
    return lambda call: call if _has(call, key) and getter(call)("type") is None else None


def _has(call: object, key: str) -> bool:
    return key in call if isinstance(call, Mapping) else hasattr(call, key)


def _named(call: object) -> object:
    return call if isinstance(call, Mapping) and call.get("type") is None else None


def _plain(_: Call, result: ToolResult) -> ToolResult:
    return result


_ROWS = (
    (ToolFormat.OPENAI_RESPONSES, _Form(_typed("function_call"), ("name", "arguments", "call_id"), responses_item)),
    (ToolFormat.CLAUDE, _Form(_typed("tool_use"), ("name", "input", "id"), claude_block)),
    (ToolFormat.OPENAI, _Form(_inner("function"), ("name", "arguments", "id"), chat_message, id_is_outside=True)),
    (ToolFormat.GEMINI, _Form(_inner("function_call", "functionCall"), ("name", "args", "id"), gemini_part)),
    (ToolFormat.GEMINI, _Form(_with("args"), ("name", "args", "id"), gemini_part)),
    (ToolFormat.MCP, _Form(_with("input"), ("name", "input", "id"), _plain)),
    (ToolFormat.MCP, _Form(_with("arguments"), ("name", "arguments", "id"), _plain)),
    (ToolFormat.MCP, _Form(_named, ("name", "arguments", "id"), _plain)),
)
"""Every format, in the order in which they are tried: what names its type comes before what does not."""

_ANSWERS = {kind: form.answer for kind, form in _ROWS}
_OTHER_CONTENT = ("type", "text", "thought", "inline_data", "inlineData")
"""Keys of what stands beside tool calls in a model's reply: text, reasoning, images."""


def parse_tool_call(call: Any, /, **arguments: Any) -> tuple[ToolCall | MalformedCall, ToolFormat]:  # noqa: ANN401  any SDK's object
    """Read a tool call of any of the formats, as an SDK's object or as a dict.

    Args:
        call: The call; or a tool's name, a tuple of name, arguments and id, or a `ToolCall`.
        arguments: Those of a tool that is named.

    Returns:
        The call, or a `MalformedCall` where its arguments are no JSON object; and its format.

    Raises:
        ArgumentError: It is no tool call.
    """
    if isinstance(call, tuple) and call and isinstance(call[0], str):
        call = ToolCall(*call[:3])
    if isinstance(call, str | ToolCall):
        return as_call(call, arguments), ToolFormat.MCP
    for kind, form in _ROWS:
        if (found := form.read(call)) is not None:
            return found, kind
    keys = sorted(map(str, call)) if isinstance(call, Mapping) else type(call).__name__
    known = ", ".join(ToolFormat)
    raise ArgumentError("call_tool", [f"expected a name, a ToolCall or a tool call of {known}; got {keys}"])


def parse_tool_calls(calls: Any, /) -> list[tuple[ToolCall | MalformedCall, ToolFormat]]:  # noqa: ANN401  as above
    """Read the tool calls of a model's reply, and pass over what stands beside them: text, reasoning, images.

    Args:
        calls: A list such as Claude's ``response.content``; one call; or None, which is no calls.

    Raises:
        ArgumentError: Something is neither a tool call nor another part of a reply.
    """
    if calls is None:
        return []
    if not isinstance(calls, Iterable) or isinstance(calls, str | Mapping | tuple) or hasattr(calls, "model_dump"):
        return [parse_tool_call(calls)]
    return [parse_tool_call(call) for call in calls if not _is_beside(call)]


def _is_beside(item: object) -> bool:
    has_call = any(form.read(item) is not None for _, form in _ROWS)
    return not has_call and any(getter(item)(key) is not None for key in _OTHER_CONTENT)


def format_result(result: ToolResult, call: ToolCall | MalformedCall, kind: ToolFormat, /) -> Any:  # noqa: ANN401  a dict, or the result
    """Give the result of a call in the format of the call: the message that the model is sent back."""
    return _ANSWERS[kind](call, result)
