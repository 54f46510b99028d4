"""Containers that are ready ahead of need, so that rollouts do not wait for them to start.

A container serves one rollout and is then replaced. Each is held by a task of its own, which has entered what must be
left in the same task; a rollout borrows its session.
"""

from __future__ import annotations

import contextvars
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import anyio
from attrs import evolve

from hud_core.errors import BackendError, describe
from hud_core.trace import log_line
from hud_docker.session import open_container_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from anyio.abc import TaskGroup

    from hud_docker.peer import Plan
    from hud_mcp import MCPSession

MOST_STARTING = 8
"""How many containers of a pool are started at once; those that rollouts wait for come beside them."""
MAX_AGE = 600.0
"""Seconds after which a container that nobody needed is replaced: what it connected to may have gone to sleep."""
LOOK_SECONDS = 0.25
"""How often a container that waits is looked at: one that has died is replaced before somebody needs it."""
MOST_FAILURES = 3
"""After so many containers in a row that could not be used, none is started ahead of need until one could."""
GONE_SECONDS = 40.0
"""How long a rollout waits for its container to be gone; every step of that has a deadline of its own."""
_KEPT_LINES = 1000


class Log:
    """What a container writes: kept until a rollout gets it, and then that rollout's.

    Args:
        source: What the log calls it.
    """

    def __init__(self, source: str) -> None:
        self._kept: deque[Callable[[], None]] = deque(maxlen=_KEPT_LINES)
        self._line = partial(log_line, source=source)
        self._context: contextvars.Context | None = None

    def __call__(self, text: str, **data: object) -> None:
        """Take a line."""
        line = partial(self._line, text, **data)
        if self._context is None:
            self._kept.append(line)
        else:
            self._context.run(line)

    def bind(self) -> None:
        """Give what there is, and what comes, to the rollout that is running."""
        self._context = contextvars.copy_context()
        while self._kept:
            self._context.run(self._kept.popleft())


class Ready:
    """One container, from its start to its end.

    Args:
        plan: What it is to be.
    """

    def __init__(self, plan: Plan) -> None:
        self.log = Log(plan.name)
        self.session: MCPSession | None = None
        self.error: Exception | None = None
        self.started: anyio.Event = anyio.Event()
        """Set once it can be used, or never will."""
        self.gone: anyio.Event = anyio.Event()
        self._plan = plan
        self._is_taken = False
        self._moved = anyio.Event()
        self._returned = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def is_usable(self) -> bool:
        """Whether it is there, and lives."""
        return self.session is not None and not self.gone.is_set() and not self.session.is_lost

    def take(self) -> None:
        """Keep it for a rollout; nothing but `give_back` ends it now."""
        self._is_taken = True
        self._moved.set()

    def give_back(self) -> None:
        """Let it end."""
        self._returned.set()
        if not self._is_taken:
            self._scope.cancel()

    async def live(self, gate: anyio.CapacityLimiter | None) -> None:
        """Start it, wait for a rollout, wait until that has ended, and end it."""
        try:
            with self._scope:
                async with open_container_session(self._plan, log=self.log, gate=gate) as session:
                    self.session = session
                    self.started.set()
                    await self._wait(session)
        except Exception as error:  # noqa: BLE001  it is told to whoever needs the container
            self.error = error
        finally:
            self.session = None
            self.started.set()
            self.gone.set()

    async def _wait(self, session: MCPSession) -> None:
        try:
            with anyio.move_on_after(MAX_AGE):
                while not self._is_taken and not session.is_lost:
                    with anyio.move_on_after(LOOK_SECONDS):
                        await self._moved.wait()
        finally:
            if self._is_taken:
                # A rollout that is cancelled still ends its scenario, and comes back.
                with anyio.CancelScope(shield=True):
                    await self._returned.wait()
            else:
                self.session = None  # nobody takes what is about to end


class Pool:
    """The containers of one plan.

    Args:
        plan: What they are to be.
        tasks: Where they live.
        wanted: How many more may be started now, for rollouts that are still to be begun.
    """

    def __init__(self, plan: Plan, tasks: TaskGroup, wanted: Callable[[], int]) -> None:
        self.plan = plan
        self.waiting: list[Ready] = []
        """Those that no rollout has."""
        self._tasks = tasks
        self._wanted = wanted
        self._gate = anyio.CapacityLimiter(MOST_STARTING)
        self._begun = 0
        self._running = 0
        self._failures = MOST_FAILURES  # none is started ahead before one was of use
        self._is_closing = False

    def session(self) -> Borrowed:
        """Give a rollout's session: entering takes a container, leaving ends it."""
        return Borrowed(self)

    async def take(self) -> Ready:
        """Give a container that can be used: one that is ready, or else that will be ready first, or else a new one.

        Raises:
            BackendError, ConfigError: A new one cannot be used. One that was started ahead is replaced instead.
        """
        self._begun += 1
        self._running += 1
        while True:
            is_new = not self.waiting
            ready = self._start(None) if is_new else min(self.waiting, key=_worth)
            self.waiting.remove(ready)
            if await self._got(ready):
                self._failures = 0
                self._fill()
                return ready
            self._failures += 1
            if is_new:
                self._running -= 1
                raise ready.error or BackendError(
                    f"the container of {self.plan.image.name!r} ended as soon as it was ready"
                )

    async def _got(self, ready: Ready) -> bool:
        """Wait for a container, for the rollout that is running; says whether it can be used."""
        ready.log.bind()
        try:
            await ready.started.wait()
        except BaseException:
            await self._end(ready)
            self._running -= 1
            raise
        if ready.is_usable:
            ready.take()
            return True
        await self._end(ready)
        return False

    async def give_back(self, ready: Ready) -> None:
        """End a rollout's container, and wait until it is gone."""
        self._running -= 1
        self._fill()
        await self._end(ready)
        if ready.error is not None:
            log_line(f"teardown failed: {describe(ready.error)}", source=self.plan.name)

    async def _end(self, ready: Ready) -> None:
        ready.give_back()
        with anyio.move_on_after(GONE_SECONDS, shield=True):
            await ready.gone.wait()

    # --- ahead of need ------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start containers ahead of need: one for each rollout that runs, but no more than rollouts are still to come.

        Nothing is prepared for an image that only one rollout has asked for so far, unless the options ask for it.
        """
        most = self.plan.options.pool
        if most is None:
            most = self._running if self._begun > 1 else 0
        if self._is_closing or self._failures >= MOST_FAILURES:
            return
        for _ in range(min(most - len(self.waiting), self._wanted())):
            self._start(self._gate)

    def _start(self, gate: anyio.CapacityLimiter | None) -> Ready:
        ready = Ready(self.plan if gate is None else evolve(self.plan, kind="pool"))
        self.waiting.append(ready)
        self._tasks.start_soon(self._live, ready, gate, name=f"container for {self.plan.name}")
        return ready

    async def _live(self, ready: Ready, gate: anyio.CapacityLimiter | None) -> None:
        await ready.live(gate)
        if ready in self.waiting:  # nobody got it: too old, or dead
            self.waiting.remove(ready)
            self._failures += ready.error is not None
            self._fill()

    async def aclose(self) -> None:
        """End the containers that no rollout has, and wait until they are gone."""
        self._is_closing = True
        left, self.waiting = self.waiting, []
        for ready in left:
            ready.give_back()
        for ready in left:
            await ready.gone.wait()


def _worth(ready: Ready) -> tuple[bool, bool]:
    """Say what to take first, by what sorts first: what can be used, then what will be, then what has died."""
    return not ready.is_usable, ready.started.is_set()


class Borrowed:
    """A rollout's session with a container of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> MCPSession:
        self._ready = await self._pool.take()
        assert self._ready.session is not None  # noqa: S101  it is usable
        return self._ready.session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session = self._ready.session
        try:
            if session is not None:
                await session.aclose()
        finally:
            await self._pool.give_back(self._ready)
