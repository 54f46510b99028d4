"""Properties of what goes to the Responses API and comes from it, without a server."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hud_core.agents.conversation import Conversation, ModelTurn, ToolTurn
from hud_core.agents.native import NativeTool
from hud_core.errors import ProviderError
from hud_core.model.content import ImageContent, Message, TextContent
from hud_core.model.tools import Tool, ToolResult
from hud_openai.client import Reply
from hud_openai.responses.items import new_input, whole_input
from hud_openai.responses.output import read_response
from hud_openai.schemas import strict_parameters, without_fillers

leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
KINDS = ["message", "reasoning", "function_call", "computer_call", "shell_call", "apply_patch_call", "web_search_call"]
CALLS = KINDS[2:6]
KEYS = [
    "id", "call_id", "name", "arguments", "content", "summary", "phase", "action", "actions", "operation",
    "encrypted_content", "pending_safety_checks",
]  # fmt: skip
odd_items = st.builds(
    lambda kind, more: {**more, "type": kind}, st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), values)
)
arguments = st.sampled_from(['{"a": 1}', "{", "[]", "", None])
ids = st.sampled_from(["c1", "c2", "", None])
items = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={
        "id": ids,
        "call_id": ids,
        "name": st.just("f"),
        "arguments": arguments,
        "encrypted_content": st.just("x"),
    },
)
NATIVE = tuple(
    NativeTool(api_type=kind, tool=Tool(name=kind)) for kind in ("computer", "shell", "apply_patch", "web_search")
)


def read(output: Any) -> ModelTurn:
    body = msgspec.json.encode({"id": "resp_1", "status": "completed", "output": output})
    return read_response(Reply(body, None), Conversation(native=NATIVE), strict=frozenset())


@given(st.lists(odd_items, max_size=3))
def test_whatever_an_endpoint_says_is_read_or_is_its_fault(output: list[Any]) -> None:
    with contextlib.suppress(ProviderError):
        assert len(read(output).calls) == sum(item["type"] in CALLS for item in output)


@given(st.lists(st.lists(items, max_size=4), min_size=1, max_size=3))
def test_every_call_is_told_its_result_once_whoever_remembers(outputs: list[list[Any]]) -> None:
    result = ToolResult(content=(TextContent(text="ok"), ImageContent(data="AAAA")))
    conversation = Conversation(turns=[Message(content=(TextContent(text="go"),))])
    for output in outputs:
        turn = read(output)
        conversation.turns += [turn, ToolTurn(tuple((call, result) for call in turn.calls))]
    previous, new = new_input(conversation)
    assert previous == "resp_1"
    assert told(new) == [call.id for call in turn.calls]
    whole = whole_input(conversation)
    called = [item["call_id"] for item in whole if item.get("type") in CALLS]
    assert told(whole) == called
    assert len(called) == sum(item["type"] in CALLS for output in outputs for item in output)
    assert not [item for item in whole if item.get("type") == "reasoning" and not item.get("encrypted_content")]


def told(sent: list[Any]) -> list[str]:
    return [item["call_id"] for item in sent if item.get("type", "").endswith("_output")]


kinds = st.sampled_from(
    [{"type": "string"}, {"type": ["integer", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}]
)


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(kinds, st.booleans())), st.data())
def test_strict_mode_changes_nothing_of_what_a_model_can_say(
    parameters: dict[str, tuple[Any, bool]], data: st.DataObject
) -> None:
    schema = {
        "type": "object",
        "properties": {name: kind for name, (kind, _) in parameters.items()},
        "required": [name for name, (_, required) in parameters.items() if required],
    }
    strict = strict_parameters(schema)
    assert strict is not None
    assert strict["required"] == list(parameters)
    assert strict["additionalProperties"] is False
    given_ones = data.draw(st.sets(st.sampled_from(sorted(parameters)))) if parameters else set()
    said = {name: "x" for name, (_, required) in parameters.items() if required or name in given_ones}
    filled = {name: said.get(name) for name in parameters}  # strict mode asks for all of them
    meant = without_fillers(filled, schema)
    assert {name: value for name, value in meant.items() if value is not None} == said
    for name, value in meant.items():  # null is left only where the tool itself takes it
        assert value is not None or parameters[name][0] != {"type": "string"}
