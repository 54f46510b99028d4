"""What was written of a conversation before is what would be written now, whatever somebody does to its turns."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hud_core.agents import Conversation, ModelTurn, ToolTurn, WrittenOnce
from hud_core.model.content import Message

TURN = st.sampled_from([ModelTurn, lambda: ToolTurn(()), lambda: Message(content=())]).map(lambda make: make())
CHANGE = st.tuples(
    st.sampled_from(["add", "add", "add", "drop", "replace", "clear", "nothing"]), TURN, st.sampled_from(["en", "de"])
)


class Listed(WrittenOnce[str]):
    """Tells one turn from another, even where they are equal."""

    def __init__(self, conversation: Conversation, how: str) -> None:
        super().__init__(conversation, how)
        self.lines: list[Any] = [how]

    def add(self, turn: Any) -> None:
        self.lines.append((len(self.turns), id(turn)))


class Other(Listed):
    """Of another agent."""


def change(turns: list[Any], how: str, turn: Any) -> None:
    if how == "add":
        turns.append(turn)
    elif how == "clear":
        turns.clear()
    elif turns and how == "drop":
        turns.pop(0)
    elif turns and how == "replace":
        turns[len(turns) // 2] = turn


@given(st.lists(CHANGE, max_size=8))
def test_what_is_written_is_what_would_be_written_afresh(changes: list[Any]) -> None:
    conversation = Conversation()
    for how, turn, language in changes:
        change(conversation.turns, how, turn)
        afresh = Listed.of(Conversation(turns=conversation.turns), language)
        assert Listed.of(conversation, language).lines == afresh.lines
        assert afresh.turns == conversation.turns


@given(st.lists(TURN), st.lists(TURN))
def test_a_turn_is_written_once(before: list[Any], since: list[Any]) -> None:
    conversation = Conversation(turns=before)
    kept = Listed.of(conversation, "en")
    written = list(kept.lines)
    conversation.turns += since
    assert Listed.of(conversation, "en") is kept
    assert kept.lines[: len(written)] == written
    assert [place for place, _ in kept.lines[1:]] == list(range(len(conversation.turns)))


def test_each_conversation_and_each_form_has_its_own() -> None:
    one, other = (Conversation(turns=[Message(content=())]) for _ in range(2))
    kept = Listed.of(one, "en")
    assert kept is Listed.of(one, "en") is not Listed.of(other, "en")
    assert one == Conversation(turns=one.turns), "what is kept is no part of what was said"
    assert type(Other.of(one, "en")) is Other
