"""A job while it runs: how far it is, and how to stop it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field

from hud_core.metering.meter import JobMeter
from hud_core.model.rollout import NO_USAGE, Usage

if TYPE_CHECKING:
    import anyio

    from hud_core.metering.throttle import Pressure


@define
class Progress:
    """How far a job is. Updated in place; read it as often as you like."""

    total: int | None = None
    """Rollouts asked for, None while the source is still being read."""
    running: int = 0
    scored: int = 0
    reused: int = 0
    """Of the scored ones, those that an earlier run had finished."""
    reward_sum: float = 0.0
    causes: Counter[str] = field(factory=Counter)
    """Invalid rollouts by cause."""
    retried: int = 0
    meter: JobMeter | None = None
    """What is spent on models, and how their endpoints cope; None before the job has begun."""
    started: float = field(factory=time.monotonic)

    @property
    def done(self) -> int:
        """Rollouts that ended."""
        return self.scored + sum(self.causes.values())

    @property
    def usage(self) -> Usage:
        """What was spent on models so far."""
        return NO_USAGE if self.meter is None else self.meter.purse.spent

    @property
    def pressure(self) -> list[Pressure]:
        """How the endpoints cope that have been overloaded."""
        return [] if self.meter is None else self.meter.meter.pressure

    @property
    def mean(self) -> float | None:
        """The mean over the scored rollouts so far."""
        return self.reward_sum / self.scored if self.scored else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the rate so far; None before there is one."""
        fresh = self.done - self.reused
        if self.total is None or not fresh:
            return None
        return (time.monotonic() - self.started) / fresh * (self.total - self.done)


class JobControl:
    """Held by whoever started a job: read its progress, stop it."""

    def __init__(self) -> None:
        self.progress: Progress = Progress()
        self.stopped: bool = False
        self._scope: anyio.CancelScope | None = None

    def stop(self) -> None:
        """Stop the job: rollouts that run are cancelled, those that ended are kept, `run` returns what there is."""
        self.stopped = True
        if self._scope is not None:
            self._scope.cancel()

    def bind(self, scope: anyio.CancelScope) -> None:
        """Let `stop` cancel this scope; called by the runner."""
        self._scope = scope
        if self.stopped:
            scope.cancel()
