"""The record of the rollout that is running: agents and environments add to it, the job keeps it."""

from __future__ import annotations

import contextvars
import time
from typing import TYPE_CHECKING

from hud_core.model.events import ConversationStarted, Event, LogLine, ModelCalled, ToolCalled, ToolReturned
from hud_core.model.rollout import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.metering.meter import RolloutMeter
    from hud_core.model.content import Content
    from hud_core.model.tools import Tool, ToolCall, ToolResult


class Recorder:
    """Collects the events of one rollout.

    Args:
        rollout: The rollout's id.
        publish: Told of each event at once, for sinks.
        meter: Counts what models cost; without one that is unknown.
    """

    __slots__ = ("_publish", "add", "meter", "pending", "rollout", "usage")

    def __init__(
        self, rollout: str, publish: Callable[[Event], None] | None = None, meter: RolloutMeter | None = None
    ) -> None:
        self.rollout: str = rollout
        self.meter: RolloutMeter | None = meter
        self.pending: list[Event] = []
        """Events that are not yet in the run directory. Always this one list, which is cleared when it is written."""
        self.usage: Usage = NO_USAGE
        self._publish = publish
        self.add: Callable[[Event], None] = self.pending.append if publish is None else self._add_and_publish
        """Adds an event."""

    def _add_and_publish(self, event: Event) -> None:
        self.pending.append(event)
        if self._publish is not None:
            self._publish(event)

    def observe(self, call: ToolCall, result: ToolResult | None) -> None:
        """Add a tool call, and then its result: what a `Toolbox` tells."""
        if result is None:
            self.add(ToolCalled(rollout=self.rollout, call=call, time=time.time()))
        else:
            self.add(ToolReturned(rollout=self.rollout, name=call.name, result=result, time=time.time()))


current_recorder: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("hud_recorder", default=None)
"""The recorder of the rollout that is running; None outside one."""

current_caller: contextvars.ContextVar[str] = contextvars.ContextVar("hud_caller", default="agent")
"""Who asks the models that are asked now: ``agent``, or ``judge`` while grading asks one."""


def conversation_started(
    *, model: str, system: str = "", tools: tuple[Tool, ...] = (), added: tuple[Content, ...] = ()
) -> None:
    """Record what a model is told beside the prompt; fields as in `ConversationStarted`. Nothing happens outside."""
    recorder = current_recorder.get()
    if recorder is not None:
        recorder.add(
            ConversationStarted(
                rollout=recorder.rollout, model=model, time=time.time(), system=system, tools=tools, added=added
            )
        )


def model_called(
    *,
    model: str,
    seconds: float,
    usage: Usage = NO_USAGE,
    text: str = "",
    reasoning: str = "",
    calls: tuple[ToolCall, ...] = (),
    stop_reason: str | None = None,
    request_id: str | None = None,
    retries: int = 0,
    waited: float = 0.0,
    cached: bool = False,
) -> None:
    """Record a call of a model, and count its tokens and their cost. Nothing happens outside a rollout.

    Fields are as in `ModelCalled`. Whoever calls models without `ToolLoopAgent` calls this, so that budgets hold.
    """
    recorder = current_recorder.get()
    if recorder is None:
        return
    if recorder.meter is not None and (usage.calls or usage.tokens):
        usage = recorder.meter.charge((model,), usage)
    recorder.usage += usage
    recorder.add(
        ModelCalled(
            rollout=recorder.rollout,
            model=model,
            time=time.time(),
            seconds=seconds,
            usage=usage,
            text=text,
            reasoning=reasoning,
            calls=calls,
            stop_reason=stop_reason,
            request_id=request_id,
            retries=retries,
            waited=waited,
            cached=cached,
            caller=current_caller.get(),
        )
    )


def log_line(text: str, *, source: str = "", **data: object) -> None:
    """Record a line of log. Nothing happens outside a rollout."""
    recorder = current_recorder.get()
    if recorder is not None:
        recorder.add(LogLine(rollout=recorder.rollout, text=text, time=time.time(), source=source, data=data))
