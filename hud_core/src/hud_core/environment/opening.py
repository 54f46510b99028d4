"""Opening what a session's environment is connected to, holding it open, and closing it again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import anyio

from hud_core.environment.lasting import CLOSE_SECONDS, GIVEN_UP, LastingSession, hold
from hud_core.errors import BackendError, ConfigError, DefinitionError, HudError, PluginError, describe
from hud_core.trace import log_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.abc import TaskGroup

    from hud_core.environment.connections import Connection
    from hud_core.environment.live import LiveSession
    from hud_core.environment.session import Session
    from hud_core.model.task import EnvRef, Recipe

    Opens = Callable[[EnvRef | Recipe], AbstractAsyncContextManager[Session]]


class Connected:
    """The connections of a session's environment, open. Enter and leave it in one task.

    Each is held by a task of its own: whatever task groups it needs are not the rollout's. They are opened together,
    and the first that fails ends the others. Leaving closes the scenario first: its ``finally`` blocks may call tools.

    Args:
        session: A session that has just begun.
        opens: Opens an environment elsewhere, with a deadline of its own.
        is_lasting: Whether a connection that is lost is opened again by the next call. By default it takes what runs
            inside with it, as it must a rollout.
    """

    def __init__(self, session: LiveSession, opens: Opens, *, is_lasting: bool = False) -> None:
        self._session = session
        self._connections = session.environment.connections
        self._opens = opens
        self._sessions: dict[str, Session] = {}
        self._is_lasting = is_lasting
        self._lasting: list[LastingSession] = []
        self._opened = anyio.Event()
        self._closing = anyio.Event()
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Open them.

        Raises:
            BackendError: One cannot be opened; the message says which, what was tried and what it answered.
            ConfigError: One never can be, or their tools do not fit together.
        """
        if not self._connections:
            return self
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            # Not by `start`: where that is cancelled, it waits for a task that may be open and shielded by then.
            for connection in self._connections.values():
                self._group.start_soon(self._keep if self._is_lasting else self._hold, connection)
            await self._opened.wait()
            await self._session.join({name: self._sessions[name] for name in self._connections})
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Close the scenario, then the connections.

        Returns:
            Whether the cancellation that ended the rollout was one of its connections'.

        Raises:
            BackendError: A connection was lost, and took the rollout with it.
        """
        if self._group is None:
            return False
        try:
            if error is None or isinstance(error, Exception):
                await self._session.aclose()
            else:
                with anyio.move_on_after(CLOSE_SECONDS, shield=True):  # cancelled: the scenario still gets to clean up
                    await self._session.aclose()
        except BaseException:
            await self._end(error)
            raise
        return await self._end(error)

    async def _hold(self, connection: Connection) -> None:
        """Hold one connection open until the session is closing; from then on it has a deadline."""
        what = self._what(connection)
        is_given_up = False
        try:
            is_given_up = await hold(
                partial(self._opens, connection.ref), self._closing, partial(self._note, connection.name)
            )
        except Exception as error:
            if connection.name not in self._sessions:
                raise _failure(f"{what} cannot be opened", error) from error
            if not self._closing.is_set():
                raise _failure(f"{what} was lost", error) from error
            log_line(f"teardown failed: {describe(error)}", source=connection.name)
        if is_given_up:
            log_line(GIVEN_UP, source=connection.name)
        if not self._closing.is_set():
            msg = f"{what} ended by itself"
            raise BackendError(msg)

    async def _keep(self, connection: Connection) -> None:
        """Keep one connection, and open it again whenever it is lost and needed, until the session is closing."""
        lasting = LastingSession(self._what(connection), partial(self._opens, connection.ref))
        self._lasting.append(lasting)
        try:
            await lasting.live(partial(self._note, connection.name, lasting))
        except Exception as error:
            raise _failure(f"{self._what(connection)} cannot be opened", error) from error

    def _what(self, connection: Connection) -> str:
        return f"connection {connection.name!r} of environment {self._session.environment.name!r}"

    def _note(self, name: str, session: Session) -> None:
        self._sessions[name] = session
        if len(self._sessions) == len(self._connections):
            self._opened.set()

    async def _end(self, error: BaseException | None) -> bool:
        """Let the holders close, and wait for them; says whether it was one of them that cancelled the rollout."""
        assert self._group is not None  # noqa: S101  both callers have entered it
        self._closing.set()
        for lasting in self._lasting:
            lasting.close()
        # An ordinary exception would be wrapped by the group; whoever raised it goes on with it as it is.
        cancellation: tuple[Any, ...] = (None, None, None)
        if error is not None and not isinstance(error, Exception):
            cancellation = (type(error), error, error.__traceback__)
        try:
            return bool(await self._group.__aexit__(*cancellation))
        except BaseExceptionGroup as failures:
            first = _first(failures)
            raise first from first.__cause__


def _failure(what: str, error: Exception) -> HudError:
    """Make the error of a connection; one that can never be right is not worth another attempt."""
    is_final = isinstance(error, ConfigError | DefinitionError | PluginError)
    return (ConfigError if is_final else BackendError)(f"{what}: {describe(error)}")


def _first(error: BaseException) -> BaseException:
    """Give the first of the exceptions that a task group holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
