from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.agents import MalformedCall, read_call
from hud_core.agents.conversation import read_structured
from hud_core.environment.calls import NAME_LENGTH, portable_tools
from hud_core.model.tools import Tool, ToolCall

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_object_is_the_call_s_arguments(arguments: dict[str, Any]) -> None:
    assert read_call("t", json.dumps(arguments), "i") == ToolCall("t", arguments, "i")
    assert read_call("t", arguments, "i") == ToolCall("t", arguments, "i")


@given(st.text())
def test_no_text_raises_and_what_is_no_object_is_malformed(raw: str) -> None:
    call = read_call("t", raw, "i")
    if isinstance(call, MalformedCall):
        assert call.raw == raw
        assert call.result.is_error
        assert call.result.call_id == "i"
    else:
        assert not raw.strip() or isinstance(json.loads(raw), dict | None)


@pytest.mark.parametrize("nothing", [None, "", "  ", "{}", "null"])
def test_no_arguments_are_an_empty_object(nothing: str | None) -> None:
    assert read_call("t", nothing) == ToolCall("t", {})


@pytest.mark.parametrize("raw", ["[1]", "3", '"x"', '{"a": NaN}', '{"a": 1', "{'a': 1}", "[" * 100_000])
def test_anything_else_is_malformed(raw: str) -> None:
    assert isinstance(read_call("t", raw), MalformedCall)


@given(st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=12))
def test_portable_names_are_valid_unique_and_lead_back(names: list[str]) -> None:
    tools, back = portable_tools([Tool(name=name) for name in names])
    shown = [tool.name for tool in tools]
    assert len(set(shown)) == len(names)
    assert [back[name] for name in shown] == names
    assert all(0 < len(name) <= NAME_LENGTH and name.replace("_", "a").replace("-", "a").isalnum() for name in shown)
    assert all(name.isascii() for name in shown)


@given(json_values)
def test_structured_answers_are_read_with_a_fence_and_without(value: Any) -> None:
    text = json.dumps(value)
    assert read_structured(text) == value
    assert read_structured(f"```json\n{text}\n```\n") == value
    assert read_structured(f"```\n{text}\n```") == value
