"""The calls of one model at one endpoint: those that run, and those that wait for their turn."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import NamedTuple

import anyio

from hud_core.metering.controller import Controller


class Pressure(NamedTuple):
    """How one model's endpoint copes."""

    model: str
    running: int
    limit: int | None
    """How many calls may run at once; None where nothing limits them."""
    waiting: int
    refused: int
    """How often the endpoint said that it is overloaded, in all."""

    def __str__(self) -> str:
        most = "" if self.limit is None else f" of {self.limit:,}"
        waiting = f", {self.waiting:,} waiting" if self.waiting else ""
        return f"{self.model}: {self.running:,}{most} at once{waiting}, {self.refused:,} refused"


class Throttle:
    """Lets calls through, first come first served, as many at once as its `Controller` allows.

    Args:
        model: What people call the model.
    """

    def __init__(self, model: str) -> None:
        self.model: str = model
        self.controller: Controller = Controller(time.monotonic())
        self.running: int = 0
        self._waiting: deque[anyio.Event] = deque()

    async def enter(self) -> None:
        """Wait for a turn. Whoever has had it must `leave`."""
        controller = self.controller
        if self._waiting or self.running >= controller.limit:
            controller.held()
            await self._turn()
        else:
            self.running += 1
        controller.sent(self.running)

    def leave(self) -> None:
        """Give the turn to whoever waits longest."""
        self.running -= 1
        self.wake()

    def wake(self) -> None:
        """Let calls through for which there is room now."""
        while self._waiting and self.running < self.controller.limit:
            self.running += 1
            self._waiting.popleft().set()

    async def _turn(self) -> None:
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:  # cancelled: the turn goes to somebody else
            if turn.is_set():
                self.leave()
            else:
                self._waiting.remove(turn)
            raise

    @property
    def pressure(self) -> Pressure:
        """How the endpoint copes now."""
        limit = self.controller.limit
        most = None if limit == math.inf else int(limit)
        return Pressure(self.model, self.running, most, len(self._waiting), self.controller.refused)
