"""The backends of one job: made when a task first needs one, closed together."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio

from hud_core.environment.environment import Environment
from hud_core.environment.live import LiveSession
from hud_core.errors import describe
from hud_core.interfaces import Backend
from hud_core.kernel import Kernel
from hud_core.log import logger
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.abc import TaskGroup

    from hud_core.environment.opening import Opens
    from hud_core.interfaces import Agent, Session
    from hud_core.model.task import Recipe, Task

CLOSE_SECONDS = 30.0
"""How long backends and agents may take to close when the job ends."""


class Backends:
    """Opens each task with the backend that its reference, or else the job, or else ``local`` names.

    Args:
        kernel: Has the backends.
        default: The job's backend.
    """

    def __init__(self, kernel: Kernel, default: str | None) -> None:
        self._kernel = kernel
        self._default = default or "local"
        self._made: dict[str, Backend] = {}
        self.tasks: TaskGroup | None = None
        """Where backends may start tasks that live as long as they do."""
        self.upcoming: Callable[[], int] | None = None
        """How many rollouts are still to be begun; see `Backend.upcoming`."""

    def of(self, task: Task) -> Backend:
        """Give the backend that opens a task's environment.

        Raises:
            UnknownProviderError: No installed plugin provides it.
        """
        env = task.env
        backend = self._of(env)
        if isinstance(env, Environment) and not env.connections:
            return backend
        return _Connecting(backend, self.opens)

    def opens(self, ref: EnvRef | Recipe) -> AbstractAsyncContextManager[Session]:
        """Open another environment, for a connection to it.

        Raises:
            UnknownProviderError: No installed plugin provides its backend.
        """
        return _Connecting(self._of(ref), self.opens).open(ref)

    def _of(self, env: EnvRef | Recipe | None) -> Backend:
        name = (env.backend if isinstance(env, EnvRef) else None) or self._default
        backend = self._made.get(name)
        if backend is None:
            backend = self._made[name] = self._kernel.backends.create(name)
            backend.tasks, backend.upcoming = self.tasks, self.upcoming
        return backend

    async def aclose(self, agents: Iterable[Agent] = ()) -> list[str]:
        """Close every backend, and agents with them, all at once, within a deadline, whatever happened.

        Returns:
            What went wrong, one line each: it is no reason to lose the results.
        """
        warnings: list[str] = []
        with anyio.move_on_after(CLOSE_SECONDS, shield=True) as limit:
            async with anyio.create_task_group() as tasks:
                resources: list[Backend | Agent] = [*self._made.values(), *agents]
                for resource in resources:
                    tasks.start_soon(_close, resource, warnings)
        if limit.cancelled_caught:
            warnings.append(f"closing took longer than {CLOSE_SECONDS:.0f} s and was given up")
        return warnings


@asynccontextmanager
async def backends_of(kernel: Kernel, default: str | None = None) -> AsyncIterator[Backends]:
    """Have backends outside a job's runner, and close them. Enter and leave it in one task.

    Args:
        kernel: Has the backends.
        default: The backend of references that name none.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        backends = Backends(kernel, default)
        backends.tasks = tasks
        try:
            yield backends
        except Exception as error:  # noqa: BLE001  raised below, as it is and not in the task group's
            failure = error
        finally:
            for warning in await backends.aclose():
                logger().warning(warning)
    if failure is not None:
        raise failure


@asynccontextmanager
async def connected(
    session: LiveSession, *, is_lasting: bool = False, backends: Backends | None = None
) -> AsyncIterator[None]:
    """Hold the connections of a session's environment open, outside any job, with the plugins that are installed.

    For whoever makes a session of an environment: a job does this by itself.

    Args:
        session: A session that has just begun.
        is_lasting: Whether a connection that is lost is opened again by the next call. Not for rollouts: what the other
            side kept for them is gone.
        backends: What opens them, for sessions that share what backends share; by default some of its own.

    Raises:
        BackendError: One cannot be opened; or it was lost, and what ran inside with it, unless they are lasting.
        ConfigError: One never can be opened, or their tools do not fit together.
    """
    if not session.environment.connections:
        yield
        return
    from hud_core.environment.opening import Connected

    async with (
        nullcontext(backends) if backends else backends_of(Kernel()) as opening,
        Connected(session, opening.opens, is_lasting=is_lasting),
    ):
        yield


class _Connecting(Backend):
    """Opens environments with another backend, and the connections of those that come alive in this process."""

    def __init__(self, backend: Backend, opens: Opens) -> None:
        self._backend = backend
        self._opens = opens

    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AbstractAsyncContextManager[Session]:
        """Open an environment, then its connections; close them the other way round."""
        return _Opened(self._backend.open(ref, seed=seed), self._opens)


class _Opened:
    """One open environment, with its connections. A class for its price, as in `hud_local.backend`."""

    __slots__ = ("_environment", "_opens", "_stack")

    def __init__(self, environment: AbstractAsyncContextManager[Session], opens: Opens) -> None:
        self._environment = environment
        self._opens = opens
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Session:
        session = await self._stack.enter_async_context(self._environment)
        if isinstance(session, LiveSession) and session.environment.connections:
            from hud_core.environment.opening import Connected  # most environments have no connections

            try:
                await self._stack.enter_async_context(Connected(session, self._opens))
            except BaseException as error:
                await self._stack.__aexit__(type(error), error, error.__traceback__)
                raise
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)


async def _close(resource: Backend | Agent, warnings: list[str]) -> None:
    try:
        await resource.aclose()
    except Exception as error:  # noqa: BLE001  protects the results from the teardown
        warnings.append(f"closing {type(resource).__name__} failed: {describe(error)}")
