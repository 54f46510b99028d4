"""What was written of a conversation before is what would be written now, whatever somebody does to its turns."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hud_anthropic.messages import Written, mark_for_cache
from hud_core.agents import Conversation, ModelTurn, ToolTurn
from hud_core.model.content import ImageContent, Message, ResourceContent, TextContent
from hud_core.model.tools import ToolCall, ToolResult

CALL = ToolCall("look", {}, "c1")
TEXT = st.text(max_size=5)
USE = {"type": "tool_use", "id": "c1", "name": "look", "input": {}, "toolset_name": "computer"}
DOCUMENT = ResourceContent(uri="file:///a.txt", text="a", mimeType="text/plain")


def said(*blocks: dict[str, Any], **more: Any) -> ModelTurn:
    return ModelTurn(raw={"role": "assistant", "content": list(blocks), **more})


TURN = st.one_of(
    st.builds(lambda text: Message(content=(TextContent(text=text),)), TEXT),
    st.just(Message(role="system", content=(TextContent(text="be exact"),))),
    st.builds(lambda text: said({"type": "text", "text": text}), TEXT),
    st.builds(lambda text: ToolTurn(((CALL, ToolResult(content=(TextContent(text=text),))),)), TEXT),
    st.sampled_from([said(), said(USE), said(container={"id": "box_1"}), said(USE, container={"id": "box_2"})]),
    st.just(ToolTurn(((CALL, ToolResult(content=(ImageContent(data="AAAA"),), isError=True)),))),
    st.just(Message(content=(DOCUMENT,))),
)  # fmt: skip
CHANGE = st.tuples(st.sampled_from(["add", "add", "add", "drop", "replace", "clear"]), TURN, st.booleans())


def change(turns: list[Any], how: str, turn: Any) -> None:
    if how == "add":
        turns.append(turn)
    elif how == "clear":
        turns.clear()
    elif turns and how == "drop":
        turns.pop(0)
    elif turns:
        turns[len(turns) // 2] = turn


@given(st.lists(CHANGE, max_size=8))
def test_messages(changes: list[Any]) -> None:
    conversation = Conversation()
    for how, turn, citable in changes:
        change(conversation.turns, how, turn)
        written = Written.of(conversation, citable=citable)
        anew = Written.of(Conversation(turns=conversation.turns), citable=citable)
        assert (written.messages, written.systems, written.container) == (anew.messages, anew.systems, anew.container)


@given(st.lists(TURN, max_size=8))
def test_marks_of_a_request_are_not_in_the_next_one(turns: list[Any]) -> None:
    conversation = Conversation(turns=turns)
    before = copy.deepcopy(Written.of(conversation, citable=False).messages)
    mark_for_cache({"messages": list(Written.of(conversation, citable=False).messages)}, {"type": "ephemeral"})
    assert Written.of(conversation, citable=False).messages == before


def test_conversations_are_kept_apart() -> None:
    one, other = (Conversation(turns=[Message(content=(TextContent(text=text),))]) for text in "ab")
    kept = Written.of(one, citable=False)
    assert kept is Written.of(one, citable=False) is not Written.of(other, citable=False)
    assert one == Conversation(turns=one.turns), "what is kept is no part of what was said"
