"""A conversation as messages of the API, in parts as it goes on."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hud_anthropic.messages import Written, mark_for_cache
from hud_core.agents import Conversation, ModelTurn, ToolTurn
from hud_core.model.content import ImageContent, Message, ResourceContent, TextContent
from hud_core.model.tools import ToolCall, ToolResult

CITABLE = True
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


@given(st.lists(TURN, max_size=8), st.integers(0, 8))
def test_messages(turns: list[Any], asked: int) -> None:
    conversation = Conversation(turns=turns[:asked])
    Written.of(conversation, CITABLE)
    conversation.turns = turns
    written, afresh = Written.of(conversation, CITABLE), Written.of(Conversation(turns=turns), CITABLE)
    assert (written.messages, written.systems, written.container) == (afresh.messages, afresh.systems, afresh.container)


@given(st.lists(TURN, max_size=8))
def test_marks_of_a_request_are_not_in_the_next_one(turns: list[Any]) -> None:
    conversation = Conversation(turns=turns)
    before = copy.deepcopy(Written.of(conversation, CITABLE).messages)
    mark_for_cache({"messages": list(Written.of(conversation, CITABLE).messages)}, {"type": "ephemeral"})
    assert Written.of(conversation, CITABLE).messages == before
