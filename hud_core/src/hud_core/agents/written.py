"""A conversation in the form of a vendor's API, of which each turn is written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import is_
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Self

    from hud_core.agents.conversation import Conversation, Turn

H = TypeVar("H")


class WrittenOnce(ABC, Generic[H]):
    """What an agent has put into its API's form, each turn once: every request holds all that was said before.

    A subclass begins in its `__init__` with what stands before the turns, and adds a turn in `add`.

    Args:
        conversation: What is to be written.
        how: What else decides about the form, such as a setting.
    """

    def __init__(self, conversation: Conversation, how: H) -> None:  # noqa: ARG002  for subclasses
        self.turns: list[Turn] = []
        """Those that are written."""
        self.how = how

    @classmethod
    def of(cls, conversation: Conversation, how: H) -> Self:
        """Give what is written of a conversation, with what was said since: from the beginning where that changed."""
        kept, turns = conversation.written, conversation.turns
        if not (
            isinstance(kept, cls)
            and kept.how is how
            and kept.fits(conversation)
            and len(turns) >= len(kept.turns)
            and all(map(is_, kept.turns, turns))
        ):
            kept = conversation.written = cls(conversation, how)
        for turn in turns[len(kept.turns) :]:
            kept.add(turn)
            kept.turns.append(turn)
        return kept

    def fits(self, conversation: Conversation) -> bool:  # noqa: ARG002  for subclasses
        """Whether the turns that are written would be written the same way now. They are, by itself."""
        return True

    @abstractmethod
    def add(self, turn: Turn) -> None:
        """Write a turn behind those that are written."""
