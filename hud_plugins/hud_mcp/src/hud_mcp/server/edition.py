"""One environment while it is served: initialised before its first request, shut down after its last."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio

from hud_core.environment.environment import run_hooks
from hud_core.errors import ConfigError, SetupError, describe
from hud_core.job.backends import Backends, backends_of, connected
from hud_core.kernel import Kernel
from hud_core.log import logger
from hud_mcp.callers import current_caller

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup, TaskStatus

    from hud_core.environment.environment import Environment
    from hud_core.environment.live import LiveSession
    from hud_core.environment.session import Told

TEARDOWN_SECONDS = 30.0
"""How long the shutdown functions of an environment may take, and a scenario's ``finally`` blocks."""


class Edition:
    """An environment that is served, until another one takes its place.

    Its initialize and shutdown functions run in one task of their own, so that they may hold a task group open. That
    task also holds its connections, for calls outside any episode; each episode has some of its own, as a rollout has.

    Args:
        environment: What is served.
        tasks: Where that task runs.
        told: Called with ``tools``, ``prompts`` or ``resources`` when this list of one of its connections changed.
    """

    def __init__(self, environment: Environment, tasks: TaskGroup, told: Told) -> None:
        self.environment = environment
        self._told = told
        self._tasks = tasks
        self._starting = anyio.Lock()
        self.is_ready = False
        """Whether it was started, and serves."""
        self._is_retired = False
        self._users = 0
        self._unused = anyio.Event()
        self._session: LiveSession | None = None
        self._backends: Backends | None = None

    @property
    def session(self) -> LiveSession:
        """The session for calls outside any episode."""
        assert self._session is not None  # noqa: S101  `start` comes first
        return self._session

    async def start(self) -> None:
        """Run the environment's initialize functions and open its connections, once; whoever asks meanwhile waits.

        Raises:
            SetupError: An initialize function failed. The next to ask tries again.
            BackendError: A connection cannot be opened. The next to ask tries again.
        """
        if self.is_ready:
            return
        async with self._starting:
            if not self.is_ready:
                await self._tasks.start(self._live)

    def connected(self, session: LiveSession, *, is_lasting: bool = False) -> AbstractAsyncContextManager[None]:
        """Hold the connections of a session open; what backends share, such as an app's lifespan, all of them share."""
        return connected(session, is_lasting=is_lasting, backends=self._backends)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep the environment alive for a call or an episode, though it may be retired meanwhile."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._settle()

    def retire(self) -> None:
        """Shut the environment down as soon as nobody uses it."""
        self._is_retired = True
        self._settle()

    def _settle(self) -> None:
        if self._is_retired and not self._users:
            self._unused.set()

    async def _live(self, *, task_status: TaskStatus[None]) -> None:
        current_caller.set(None)  # the client whose request came first has no part in what lives as long as the server
        # One scope around everything: what initialize functions leave open, shutdown functions close inside the same.
        with anyio.CancelScope() as scope:
            await self._initialise()
            try:
                await self._serve(task_status)
            finally:
                scope.shield, scope.deadline = True, anyio.current_time() + TEARDOWN_SECONDS
                await self._shut_down()
                self.is_ready, self._is_retired, self._unused = False, False, anyio.Event()

    async def _serve(self, task_status: TaskStatus[None]) -> None:
        """Keep the session open until nobody uses it; a connection that is lost is opened again by the next call."""
        self._session = self.environment.session()
        shared = backends_of(Kernel()) if self.environment.connections else nullcontext()
        async with shared as self._backends, self.connected(self._session, is_lasting=True):
            self._session.tools.follow(self._told)
            self.is_ready = True
            task_status.started()
            await self._until_unused()

    async def _until_unused(self) -> None:
        try:
            await self._unused.wait()
        finally:
            with anyio.move_on_after(TEARDOWN_SECONDS, shield=True):
                self.retire()
                await self._unused.wait()
                await self.session.aclose()

    async def _initialise(self) -> None:
        try:
            await run_hooks(self.environment.on_initialize)
        except ConfigError:
            raise
        except Exception as error:
            msg = f"environment {self.environment.name!r} cannot be initialised: {describe(error)}"
            raise SetupError(msg) from error

    async def _shut_down(self) -> None:
        for hook in self.environment.on_shutdown:
            try:
                await run_hooks([hook])
            except Exception as error:  # noqa: BLE001  protects the other shutdown functions from this one
                logger().warning(f"shutdown of environment {self.environment.name!r} failed: {describe(error)}")
