"""`Trace`: the record of a rollout, with its conversation."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  a field's type
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.job.directory import read_events
from hud_core.model.rollout import Rollout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud_core.model.content import Citation


class Trace(Rollout, frozen=True, kw_only=True, gc=False):
    """The record of one rollout, as `hud_core.Rollout`, and its conversation, which is read when it is asked for.

    `reward` is None where there is no score; `isError` and ``info["error"]`` say so, and why.
    """

    directory: Path | None = None
    """The run directory that keeps the rollout's events."""
    record: str = ""
    """The rollout's id there."""

    @property
    def done(self) -> bool:
        """Whether the rollout has ended: always, for it is recorded when it has."""
        return True

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The sources that the answer names."""
        return () if self.answer is None else self.answer.citations

    @property
    def trace(self) -> list[dict[str, Any]]:
        """What happened, step by step: events as data, of the type that each names in ``type``."""
        return [] if self.directory is None else list(read_events(self.directory, self.record))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation of the last attempt: what was asked, said and called, what tools gave, what was answered."""
        messages: list[dict[str, Any]] = []
        for event in self.trace:
            if event["type"] == "rollout_started":
                messages.clear()
            messages += [message for message in _messages(event) if message not in messages[-1:]]
        return messages


def trace_of(rollout: Rollout, directory: Path | None, **fields: Any) -> Trace:
    """Give a rollout's record as a `Trace`.

    Args:
        rollout: The record.
        directory: The run directory that keeps its events; None where nothing was kept.
        fields: Other values for some of its fields; None leaves a field as it is.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return Trace(**{**msgspec.structs.asdict(rollout), **given}, directory=directory, record=rollout.id)


def _messages(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match event:
        case {"type": "prompted", "prompt": {"messages": messages}}:
            yield from messages
        case {"type": "model_called", "caller": "agent"}:
            yield {"role": "assistant", "content": event["text"], "tool_calls": event["calls"]}
        case {"type": "tool_returned", "name": name, "result": result}:
            is_error = result["is_error"]
            yield {"role": "tool", "name": name, "content": result["content"], "is_error": is_error}
        case {"type": "answered", "answer": {"text": text}} if text:
            yield {"role": "assistant", "content": text, "tool_calls": []}
