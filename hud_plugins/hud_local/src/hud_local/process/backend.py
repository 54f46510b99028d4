"""The backend `process`: a fork server imports an environment once and forks a child for each rollout."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from hud_core.environment.environment import normalise
from hud_core.errors import BackendError, ConfigError, RolloutError, describe
from hud_core.interfaces import Backend
from hud_core.trace import log_line
from hud_local.process.launcher import ForkServer
from hud_local.process.loading import sources_of
from hud_local.process.session import ProcessSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_core.interfaces import Session
    from hud_core.model.task import EnvRef, Recipe
    from hud_local.process.loading import Source


class ProcessBackend(Backend):
    """Opens each environment in a process of its own, so that rollouts share no state and cannot bring others down.

    Args:
        grace: Seconds that a child has to tear its environment down before it is killed.
    """

    def __init__(self, *, grace: float = 5.0) -> None:
        self._grace = grace
        self._servers: dict[tuple[Source, ...], ForkServer] = {}
        self._refused: dict[tuple[Source, ...], ConfigError] = {}
        self._starting: defaultdict[tuple[Source, ...], anyio.Lock] = defaultdict(anyio.Lock)

    @asynccontextmanager
    async def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AsyncIterator[Session]:
        """Fork a child for one rollout; leaving the context ends it, and whatever it started.

        Args:
            ref: An environment that a file declares, or a reference with the option ``file``.
            seed: Seeds `random` in the child, and numpy's generator if the environment has imported numpy.

        Raises:
            BackendError: The child cannot be started; another attempt may help.
            ConfigError: No file declares the environment, or its file cannot be imported.
        """
        session = await self._open(ref, seed)
        try:
            yield session
        except BaseException:
            await self._close_quietly(session)
            raise
        await session.finish(self._grace)

    async def _open(self, ref: Recipe | EnvRef, seed: int | None) -> ProcessSession:
        server = await self._server(sources_of(ref))
        name = normalise(ref.name)
        if name not in server.environments:
            raise ConfigError(_not_there(name, sources_of(ref), server.environments))
        return ProcessSession(name, *await server.spawn(name, seed))

    async def _close_quietly(self, session: ProcessSession) -> None:
        """Close a session whose rollout has an error already, which must not be replaced."""
        try:
            await session.finish(self._grace)
        except RolloutError as error:
            log_line(f"teardown failed: {describe(error)}", source="teardown")

    async def _server(self, sources: tuple[Source, ...]) -> ForkServer:
        """Give the fork server of these files; start it when it is the first time, or when it has died."""
        server = self._servers.get(sources)
        if server is not None and server.is_alive:
            return server
        async with self._starting[sources]:
            if error := self._refused.get(sources):
                raise ConfigError(str(error))
            server = self._servers.get(sources)
            if server is None or not server.is_alive:
                server = await self._start(sources)
            return server

    async def _start(self, sources: tuple[Source, ...]) -> ForkServer:
        dead = self._servers.pop(sources, None)
        if dead is not None:
            await dead.aclose()
        try:
            server = self._servers[sources] = await ForkServer.start(sources)
        except ConfigError as error:  # the file stays as broken as it is, for every rollout
            self._refused[sources] = error
            raise
        return server

    async def check(self) -> None:
        """Find out whether this system can fork.

        Raises:
            BackendError: It cannot.
        """
        if not hasattr(os, "fork"):
            msg = "backend 'process' needs os.fork, which this system does not have; use backend 'local' or a container"
            raise BackendError(msg)

    async def aclose(self) -> None:
        """End the fork servers."""
        servers = list(self._servers.values())
        self._servers.clear()
        async with anyio.create_task_group() as group:
            for server in servers:
                group.start_soon(server.aclose)


def _not_there(name: str, sources: tuple[Source, ...], known: frozenset[str]) -> str:
    return (
        f"environment {name!r} is no global variable of {sources[0].file}, so that another process cannot find it "
        f"there (it finds {', '.join(sorted(known)) or 'none'}); assign it at the top level, or use backend 'local'"
    )
