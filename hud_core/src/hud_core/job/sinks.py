"""Result sinks behind bounded queues: a slow or broken one loses events, and says so; it never holds a rollout up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio

from hud_core.errors import describe
from hud_core.log import logger

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from hud_core.interfaces import ResultSink
    from hud_core.model.events import Event

QUEUE = 10_000
"""Events that wait for one sink at the most."""
CLOSE_SECONDS = 10.0
"""How long a sink may take to write what is left when the job ends."""


class SinkQueue:
    """One sink and the events that wait for it."""

    def __init__(self, sink: ResultSink) -> None:
        self.name: str = type(sink).__name__
        self.lost: int = 0
        self.failed: int = 0
        self.last_error: str = ""
        self._sink = sink
        self._send, self._receive = anyio.create_memory_object_stream["Event"](QUEUE)
        self._done = anyio.Event()

    def put(self, event: Event) -> None:
        """Queue an event; count it as lost when the queue is full."""
        try:
            self._send.send_nowait(event)
        except anyio.WouldBlock:
            self.lost += 1

    async def drain(self) -> None:
        """Hand events to the sink until the queue is closed."""
        with self._receive:
            async for event in self._receive:
                try:
                    await self._sink.handle(event)
                except Exception as error:  # noqa: BLE001  protects the job from the sink
                    self._note(error)
        self._done.set()

    async def aclose(self) -> None:
        """Let the sink finish, within `CLOSE_SECONDS`."""
        self._send.close()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._done.wait()
            try:
                await self._sink.aclose()
            except Exception as error:  # noqa: BLE001  protects the job from the sink
                self._note(error)
            return
        self.lost += self._receive.statistics().current_buffer_used
        self.last_error = self.last_error or f"did not finish within {CLOSE_SECONDS:.0f} s"

    def _note(self, error: Exception) -> None:
        self.failed += 1
        if self.failed == 1:
            logger().warning("result sink failed", sink=self.name, error=describe(error))
        self.last_error = describe(error)

    @property
    def warning(self) -> str | None:
        """What went wrong, in one line; None when nothing did."""
        if not (self.lost or self.failed or self.last_error):
            return None
        last = self.last_error or "none"
        return f"result sink {self.name}: {self.lost} events lost, {self.failed} failed; last error: {last}"


class Sinks:
    """All sinks of a job."""

    def __init__(self, sinks: tuple[ResultSink, ...]) -> None:
        self._queues = [SinkQueue(sink) for sink in sinks]

    def start(self, tasks: TaskGroup) -> None:
        """Start handing events over."""
        for queue in self._queues:
            tasks.start_soon(queue.drain, name=f"sink {queue.name}")

    def publish(self, event: Event) -> None:
        """Queue an event for every sink."""
        for queue in self._queues:
            queue.put(event)

    async def aclose(self) -> None:
        """Let every sink finish, all at once, within a deadline."""
        with anyio.CancelScope(shield=True, deadline=math.inf):
            async with anyio.create_task_group() as tasks:
                for queue in self._queues:
                    tasks.start_soon(queue.aclose)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong with sinks."""
        return tuple(queue.warning for queue in self._queues if queue.warning)
