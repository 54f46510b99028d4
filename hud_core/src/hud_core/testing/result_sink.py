"""What every sink of results must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
import msgspec
import pytest
from msgspec.structs import replace

from hud_core.environment.values import tool_result
from hud_core.errors import Cause
from hud_core.model import events
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import Answer, Evaluation, StopReason, SubScore
from hud_core.model.rollout import Rollout, Status, Usage
from hud_core.model.tools import ToolCall
from hud_core.testing.contract import PATIENCE, Contract, check, patience, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.interfaces import ResultSink

_PROMPT = Prompt(messages=(Message(content=(TextContent(text="How many?"),)),))
_ANSWER = Answer(text="3")
_EVALUATION = Evaluation(reward=1.0, subscores=(SubScore(name="right", value=1.0),), info={"detail": [1, None, "ü"]})
_ROLLOUT = Rollout(
    id="letters/scripted/0/0",
    job_id="job",
    group_id="letters/scripted/0",
    task="letters",
    task_index=0,
    agent="scripted",
    status=Status.SCORED,
    stop_reason=StopReason.ANSWERED,
    reward=1.0,
    evaluation=_EVALUATION,
    answer=_ANSWER,
    usage=Usage(calls=1, input_tokens=10, output_tokens=2),
    started=1_700_000_000.0,
    seconds=0.5,
)
_INVALID = replace(
    _ROLLOUT,
    status=Status.INVALID,
    stop_reason=None,
    reward=None,
    evaluation=None,
    answer=None,
    cause=Cause.BACKEND,
    phase="open",
    error="it is gone\nfor good",
)
_FIELDS: dict[str, Any] = {
    "agents": ("scripted",),
    "answer": _ANSWER,
    "args": {"word": "strawberry"},
    "attempt": 1,
    "call": ToolCall("echo", {"text": "hi"}),
    "calls": (ToolCall("echo", {"text": "hi"}),),
    "cause": Cause.PROVIDER,
    "error": "the endpoint says: slow down",
    "evaluation": _EVALUATION,
    "invalid": 1,
    "job": "job",
    "mean": 1.0,
    "model": "letters-1",
    "name": "echo",
    "phase": "agent",
    "prompt": _PROMPT,
    "record": _ROLLOUT,
    "result": tool_result("hi"),
    "rollout": _ROLLOUT.id,
    "scenario": "letters",
    "scored": 1,
    "seconds": 0.5,
    "task": "letters",
    "text": "a line",
    "time": 1_700_000_000.0,
    "total": 2,
}
"""A value for each field that an event may require."""


def sample_events() -> list[events.Event]:
    """Give an event of every type, in the order of a job, and a rollout that has no score."""
    samples = [_sample(kind) for kind in events.Event.__args__]
    finished = [e for e in samples if isinstance(e, events.RolloutFinished)]
    return [*samples[:-2], *(replace(e, record=_INVALID) for e in finished), *samples[-2:]]


def _sample(kind: type[Any]) -> events.Event:
    wanted = [field.name for field in msgspec.structs.fields(kind) if field.required]
    return cast("events.Event", kind(**{name: _FIELDS[name] for name in wanted}))


@attrs.frozen(kw_only=True)
class FromTheFuture:
    """An event of a later kernel."""

    rollout: str = _ROLLOUT.id
    time: float = 1_700_000_000.0
    type: Literal["from_the_future"] = "from_the_future"


class ResultSinkContract(Contract):
    """Proves a sink of results.

    ```python
    import pytest

    from hud_core.testing import ResultSinkContract
    from my_plugin.sink import Printer


    class TestPrinter(ResultSinkContract):
        @pytest.fixture
        def sink(self):
            return Printer()
    ```
    """

    @pytest.fixture
    def sink(self) -> ResultSink:
        """The sink to prove; a new one for each test."""
        what, owner = "sink", type(self).__name__
        raise required(what, owner)

    async def test_every_event_is_taken(self, sink: ResultSink) -> None:
        await _feed(sink, sample_events())
        await sink.aclose()

    async def test_events_of_several_rollouts_may_mix(self, sink: ResultSink) -> None:
        about: list[Any] = [event for event in sample_events() if hasattr(event, "rollout")]
        await _feed(sink, [replace(event, rollout=id_) for event in about for id_ in ("a/x/0/0", "b/x/0/0")])
        await sink.aclose()

    async def test_events_of_a_later_kernel_are_passed_over(self, sink: ResultSink) -> None:
        await _feed(sink, [cast("events.Event", FromTheFuture())])
        await sink.aclose()

    async def test_aclose_may_be_called_twice(self, sink: ResultSink) -> None:
        await _feed(sink, sample_events())
        await sink.aclose()
        await sink.aclose()

    async def test_aclose_works_without_an_event(self, sink: ResultSink) -> None:
        with patience() as limit:
            await sink.aclose()
        check(not limit.cancelled_caught, f"aclose of a sink that got no event hung for {PATIENCE} s")


async def _feed(sink: ResultSink, some: Sequence[events.Event]) -> None:
    for event in some:
        with patience() as limit:
            try:
                await sink.handle(event)
            except Exception as error:
                msg = f"handle must take an event of type {event.type!r}, it raised {error!r}"
                raise AssertionError(msg) from error
        check(not limit.cancelled_caught, f"handle of {event.type!r} hung for {PATIENCE} s")
