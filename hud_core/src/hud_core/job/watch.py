"""Deadlines for many rollouts at once, by one task that looks at all of them.

A cancel scope with a deadline of its own costs about 2 us each time the deadline moves, and every rollout has five
phases; storing a number costs 0.1 us. The price is precision: a phase ends up to `tick` seconds late.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

import anyio

if TYPE_CHECKING:
    from hud_core.job.limits import Timeouts

PRECISION = 0.05
"""How late a phase may end, as a share of the shortest timeout."""


class Watched(Protocol):
    """**Protocol:** something with a deadline."""

    deadline: float
    """In seconds of `time.monotonic`; infinity is none."""

    def expire(self) -> None:
        """End what took too long."""


class Watch:
    """The deadlines of what runs now."""

    def __init__(self, timeouts: Timeouts) -> None:
        given = (timeouts.open, timeouts.setup, timeouts.agent, timeouts.grade, timeouts.close)
        shortest = min((seconds for seconds in given if seconds is not None), default=math.inf)
        self.tick: float = min(max(shortest * PRECISION, 0.01), 1.0)
        self._watched: dict[int, Watched] = {}

    def add(self, watched: Watched) -> None:
        """Begin to watch something."""
        self._watched[id(watched)] = watched

    def remove(self, watched: Watched) -> None:
        """Watch it no longer."""
        del self._watched[id(watched)]

    async def run(self) -> None:
        """Expire what is late, until cancelled."""
        while True:
            await anyio.sleep(self.tick)
            now = time.monotonic()
            for watched in list(self._watched.values()):
                if watched.deadline < now:
                    watched.expire()
