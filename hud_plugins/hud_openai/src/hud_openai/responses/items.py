"""A conversation as input items of the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.agents.conversation import ModelTurn, ToolTurn
from hud_core.environment.result_messages import ERROR, responses_item
from hud_core.errors import AgentError
from hud_core.model.content import AudioContent, ImageContent, TextContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hud_core.agents.conversation import Conversation, Turn
    from hud_core.model.content import Content, Message, ResourceContent
    from hud_core.model.tools import ToolResult

Wire = dict[str, Any]


def whole_input(conversation: Conversation) -> list[Wire]:
    """Make the input that holds the whole conversation, for an endpoint that has not kept it."""
    return list(_items(conversation.turns, {}))


def new_input(conversation: Conversation) -> tuple[str | None, list[Wire]]:
    """Make the input that holds what came after the model's last turn, and give the id of that turn's response."""
    turns = conversation.turns
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if isinstance(turn, ModelTurn) and turn.raw and turn.raw["id"]:
            return turn.raw["id"], list(_items(turns[place + 1 :], _calls(turn)))
    return None, whole_input(conversation)


def _items(turns: Iterable[Turn], calls: dict[str, Wire]) -> Iterator[Wire]:
    for turn in turns:
        if isinstance(turn, ModelTurn):
            calls = _calls(turn)
            yield from _said(turn)
        elif isinstance(turn, ToolTurn):
            yield from _results(turn, calls)
        else:
            yield _message(turn)


def _calls(turn: ModelTurn) -> dict[str, Wire]:
    return {item["call_id"]: item for item in turn.raw["output"] if item.get("call_id")} if turn.raw else {}


def _said(turn: ModelTurn) -> list[Wire]:
    """Give the model its turn back as it came, without the thoughts that only the endpoint's memory had.

    What came with such thoughts must not name itself: the endpoint would look for the thoughts that belong to it. What
    is null is left out: endpoints give it, and do not take it.
    """
    if not turn.raw:
        return [{"role": "assistant", "content": turn.text}]
    kept = [item for item in turn.raw["output"] if not _is_hollow(item)]
    left_out = () if len(kept) == len(turn.raw["output"]) else ("id",)
    return [{k: value for k, value in item.items() if value is not None and k not in left_out} for item in kept]


def _is_hollow(item: Wire) -> bool:
    return item.get("type") == "reasoning" and not (item.get("encrypted_content") or item.get("content"))


# --- content ----------------------------------------------------------------------------------------------------------


def _message(message: Message) -> Wire:
    is_plain = message.role == "assistant" or len(message.content) == 1  # what the model said has no parts of input
    if is_plain and all(isinstance(block, TextContent) for block in message.content):
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [_part(block) for block in message.content]}


def _part(block: Content) -> Wire:
    if isinstance(block, TextContent):
        return {"type": "input_text", "text": block.text}
    if isinstance(block, ImageContent):
        return {"type": "input_image", "image_url": _data_url(block.mime_type, block.data), "detail": "auto"}
    if isinstance(block, AudioContent):
        raise AgentError("the prompt holds a sound, and the Responses API takes none; ask over chat: openai_compatible")
    return _document(block)


def _document(block: ResourceContent) -> Wire:
    mime_type = block.mime_type or "application/octet-stream"
    if block.text is not None or block.data is None:
        return {"type": "input_text", "text": "\n".join(filter(None, (block.uri, block.text)))}
    if mime_type.startswith("image/"):
        return {"type": "input_image", "image_url": _data_url(mime_type, block.data), "detail": "auto"}
    name = block.uri.rstrip("/").rpartition("/")[2]
    return {"type": "input_file", "filename": name, "file_data": _data_url(mime_type, block.data)}


def _data_url(mime_type: str, data: str) -> str:
    return f"data:{mime_type};base64,{data}"


# --- tool results -----------------------------------------------------------------------------------------------------


def _results(turn: ToolTurn, calls: dict[str, Wire]) -> Iterator[Wire]:
    """Give each result in the form that its call asks for, then what such a form has no place for."""
    beside: list[Wire] = []
    for call, result in turn.results:
        asked = calls.get(call.id, {})
        kind = asked.get("type")
        if kind == "computer_call":
            yield _screenshot(call.name, asked, result)
            if result.text:
                beside.append(
                    {"type": "input_text", "text": f"From tool {call.name!r}, call {call.id}: {_told(result)}"}
                )
        elif kind == "shell_call":
            yield {"type": "shell_call_output", "call_id": call.id, **_shell(asked, result)}
        elif kind == "apply_patch_call":
            yield {"type": "apply_patch_call_output", "call_id": call.id, **_patched(result)}
        else:
            yield responses_item(call, result)
    if beside:
        yield {"role": "user", "content": beside}


def _told(result: ToolResult) -> str:
    text = result.text or "(no output)"
    return f"{ERROR}{text}" if result.is_error else text


def _screenshot(name: str, asked: Wire, result: ToolResult) -> Wire:
    images = [block for block in result.content if isinstance(block, ImageContent)]
    if not images:
        raise AgentError(f"tool {name!r} gave no screenshot, which is all that the model takes of it: {_told(result)}")
    image = _data_url(images[-1].mime_type, images[-1].data)
    item = {"type": "computer_call_output", "call_id": asked["call_id"]}
    if checks := asked.get("pending_safety_checks"):
        item["acknowledged_safety_checks"] = checks
    return {**item, "output": {"type": "computer_screenshot", "image_url": image}}


def _shell(asked: Wire, result: ToolResult) -> Wire:
    """Give the output of each command, where the tool tells it; of any other tool the text, as that of one command."""
    given = result.structured_content
    output = given.get("output") if isinstance(given, dict) else None
    if not (isinstance(output, list) and output and all(isinstance(chunk, dict) for chunk in output)):
        text, code = _told(result), int(result.is_error)
        streams = ("", text) if result.is_error else (text, "")
        output = [{"stdout": streams[0], "stderr": streams[1], "outcome": {"type": "exit", "exit_code": code}}]
    limit = (asked.get("action") or {}).get("max_output_length")
    return {"output": output} if limit is None else {"output": output, "max_output_length": limit}


def _patched(result: ToolResult) -> Wire:
    given = result.structured_content
    if isinstance(given, dict) and given.get("status") in ("completed", "failed"):
        return {"status": given["status"], "output": str(given.get("output") or "")}
    return {"status": "failed" if result.is_error else "completed", "output": result.text}
