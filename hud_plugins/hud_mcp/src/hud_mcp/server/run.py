"""One run of a server: from its first client to its last, on one transport."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from hud_core.environment.session import LISTS
from hud_core.errors import ConfigError
from hud_mcp.server.edition import Edition
from hud_mcp.server.episodes import Episodes
from hud_mcp.server.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from anyio.abc import TaskGroup
    from mcp.server.connection import Connection

    from hud_core.environment.environment import Environment
    from hud_mcp.server.store import EpisodeStore


TELL_SECONDS = 1.0
"""How long clients may take to hear that something has changed."""
MOST_SUBSCRIBED = 1000
"""How many resources one connection may want to hear of."""
_SUBSCRIBED = "hud/subscribed"
_EVENTS: dict[str, ServerEvent] = {
    "tools": ToolsListChanged(),
    "prompts": PromptsListChanged(),
    "resources": ResourcesListChanged(),
}


class ServerRun:
    """What the requests of one run share: the environment, the episodes, and who is connected."""

    def __init__(
        self, environment: Environment, tasks: TaskGroup, *, limit: int, ttl: float, store: EpisodeStore | None
    ) -> None:
        self._tasks = tasks
        self.store = store
        self._changed: set[str] = set()
        self._has_changed = anyio.Event()
        self.edition = Edition(environment, tasks, self._note)
        self.episodes = Episodes(tasks, limit=limit, ttl=ttl)
        self.rounds = Rounds(tasks, limit=limit, ttl=ttl, store=store)
        self.connections: set[Connection] = set()
        """Connections of the handshake era, which hear of changes unasked."""
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        """Serves those of the later era, which subscribe."""

    async def replace(self, environment: Environment) -> None:
        """Serve another environment from now on; calls and episodes under way finish on the one they began with.

        Raises:
            SetupError: It cannot be initialised; the present one stays.
        """
        following = Edition(environment, self._tasks, self._note)
        await following.start()
        present, self.edition = self.edition, following
        present.retire()
        await self.tell()

    async def tell(self, kinds: Iterable[str] = LISTS) -> None:
        """Tell every client that these lists have changed, all of them by default."""
        told = [kind for kind in LISTS if kind in set(kinds)]
        await self._tell(self.connections, partial(_tell_of_lists, told))
        for kind in told:
            await self._bus.publish(_EVENTS[kind])

    def _note(self, kind: str) -> None:
        self._changed.add(kind)
        self._has_changed.set()

    async def pass_on(self) -> None:
        """Tell clients what connections say of their lists, as long as the server runs; what comes at once, once."""
        while True:
            await self._has_changed.wait()
            changed, self._changed, self._has_changed = self._changed, set(), anyio.Event()
            await self.tell(changed)

    async def resource_updated(self, uri: str) -> None:
        """Tell the clients that asked to hear of it that a resource has changed."""
        subscribed = [connection for connection in self.connections if uri in connection.state.get(_SUBSCRIBED, ())]
        await self._tell(subscribed, lambda connection: connection.send_resource_updated(uri))
        await self._bus.publish(ResourceUpdated(uri=uri))

    async def _tell(
        self, connections: Iterable[Connection], say: Callable[[Connection], Coroutine[Any, Any, None]]
    ) -> None:
        """Tell all at once: a client that does not read must not hold up the others."""
        with anyio.move_on_after(TELL_SECONDS):
            async with anyio.create_task_group() as tasks:
                for connection in list(connections):
                    tasks.start_soon(say, connection)

    def subscribe(self, connection: Connection, uri: str) -> None:
        """Note that a connection of the handshake era wants to hear of a resource.

        Raises:
            ConfigError: It wants to hear of too many.
        """
        wanted: set[str] = connection.state.setdefault(_SUBSCRIBED, set())
        if len(wanted) >= MOST_SUBSCRIBED and uri not in wanted:
            msg = f"a client may subscribe to {MOST_SUBSCRIBED} resources at once; unsubscribe from some"
            raise ConfigError(msg)
        wanted.add(uri)

    def unsubscribe(self, connection: Connection, uri: str) -> None:
        """Note that it does not any more."""
        connection.state.get(_SUBSCRIBED, set()).discard(uri)

    def add(self, connection: Connection) -> None:
        """Follow a connection until it closes; its episodes end with it."""
        if connection not in self.connections:
            self.connections.add(connection)
            connection.exit_stack.callback(self._forget, connection)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection.session_id is not None:
            self.episodes.end_owner(connection.session_id)

    def close(self) -> None:
        """End every episode, and shut the environment down after them."""
        self.listen.close()
        self.rounds.close()
        for episode in self.episodes:
            self.episodes.end(episode)
        self.edition.retire()


async def _tell_of_lists(kinds: Iterable[str], connection: Connection) -> None:
    for kind in kinds:
        await getattr(connection, f"send_{kind.removesuffix('s')}_list_changed")()


@asynccontextmanager
async def running(
    environment: Environment, *, limit: int, ttl: float, store: EpisodeStore | None = None
) -> AsyncIterator[ServerRun]:
    """Hold the tasks of a run; leaves once its episodes are closed and its environment is shut down."""
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as sweeping:
        run = ServerRun(environment, tasks, limit=limit, ttl=ttl, store=store)
        sweeping.start_soon(run.episodes.sweep)
        sweeping.start_soon(run.pass_on)
        try:
            yield run
        finally:
            sweeping.cancel_scope.cancel()
            run.close()
