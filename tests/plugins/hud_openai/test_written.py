"""A conversation as JSON, in parts as it goes on."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hud_core.agents import Conversation, ModelTurn, ToolTurn
from hud_core.model.content import ImageContent, Message, TextContent
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_openai.messages import Written, wire_messages, wire_tools

CALL = ToolCall("look", {}, "c1")
TEXT = st.text(max_size=5)
TURN = st.one_of(
    st.builds(lambda text: Message(content=(TextContent(text=text),)), TEXT),
    st.builds(lambda text: ModelTurn(raw={"role": "assistant", "content": text}), TEXT),
    st.builds(lambda text: ToolTurn(((CALL, ToolResult(content=(TextContent(text=text),))),)), TEXT),
    st.just(ToolTurn(((CALL, ToolResult(content=(ImageContent(data="AAAA"),))),))),
    st.just(ToolTurn(())),
)


@given(st.lists(TURN, max_size=8), st.integers(0, 8), st.sampled_from(["", "be brief é"]))
def test_messages(turns: list[Any], asked: int, system: str) -> None:
    conversation = Conversation(turns=turns[:asked])
    Written.of(conversation, ()).messages("at first")
    conversation.turns = turns
    first = [{"role": "system", "content": system}] if system else []
    written = Written.of(conversation, ()).messages(system)
    assert json.loads(bytes(written)) == first + [made for turn in turns for made in wire_messages(turn)]


def test_tools() -> None:
    conversation = Conversation()
    for tools in ((), (Tool(name="a"),), (Tool(name="a"), Tool(name="b"))):
        assert json.loads(bytes(Written.of(conversation, tools).tools)) == wire_tools(tools)
