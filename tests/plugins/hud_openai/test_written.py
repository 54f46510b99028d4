"""What was written of a conversation before is what would be written now, whatever somebody does to its turns."""

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
CHANGE = st.tuples(st.sampled_from(["add", "add", "add", "drop", "replace", "clear"]), TURN)


def change(turns: list[Any], how: str, turn: Any) -> None:
    if how == "add":
        turns.append(turn)
    elif how == "clear":
        turns.clear()
    elif turns and how == "drop":
        turns.pop(0)
    elif turns:
        turns[len(turns) // 2] = turn


@given(st.lists(CHANGE, max_size=8), st.sampled_from(["", "be brief é"]))
def test_messages(changes: list[Any], system: str) -> None:
    conversation = Conversation()
    for how, turn in changes:
        change(conversation.turns, how, turn)
        written = Written.of(conversation).messages(conversation.turns, system=system)
        first = [{"role": "system", "content": system}] if system else []
        assert json.loads(bytes(written)) == first + [
            made for said in conversation.turns for made in wire_messages(said)
        ]


def test_tools() -> None:
    written = Written()
    for tools in ((), (Tool(name="a"),), (Tool(name="a"), Tool(name="b"))):
        assert json.loads(bytes(written.tools(tools))) == wire_tools(tools)


def test_conversations_are_kept_apart() -> None:
    one, other = (Conversation(turns=[Message(content=(TextContent(text=text),))]) for text in "ab")
    assert Written.of(one) is Written.of(one) is not Written.of(other)
    assert one == Conversation(turns=one.turns), "what is kept is no part of what was said"
