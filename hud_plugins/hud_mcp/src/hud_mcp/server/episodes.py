"""Episodes: scenarios that clients have set up. Each lives in a task of its own, bounded in number and in age."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import anyio

from hud_core.errors import BackendError, ConfigError, GraderError, SetupError, describe
from hud_core.failures import place_of
from hud_core.log import logger
from hud_core.model.evaluation import Answer
from hud_mcp.callers import current_caller
from hud_mcp.server.edition import TEARDOWN_SECONDS
from hud_mcp.server.store import new_handle

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from anyio.abc import TaskGroup, TaskStatus

    from hud_core.environment.live import LiveSession
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Evaluation
    from hud_mcp.server.asking import Caller
    from hud_mcp.server.edition import Edition
    from hud_mcp.server.store import EpisodeStore

GONE_SECONDS = 60.0
"""How long a client may ask nothing once its stream of notifications has ended: it has vanished, or comes back soon."""
SWEEP_SECONDS = 15.0
"""How often, at most, episodes are looked through for those that nobody uses any more."""


class Episode:
    """One scenario, from setup to grade.

    Its generator is opened, driven and closed in the task that runs `live`, inside one cancel scope: a scenario may
    hold a task group open from its first yield to its second.

    Args:
        edition: The environment as it was when the episode began.
        scenario: The scenario's name.
        owner: What identifies the client where it names no handle: its session, or the process.
        store: Names this replica in the handle, where there are several.
    """

    def __init__(self, edition: Edition, scenario: str, owner: Hashable, store: EpisodeStore | None) -> None:
        self.handle = new_handle(store)
        """What the harness names it by."""
        self.token = new_handle(store)
        """What its address for the agent ends with. It leads to the episode's tools, and not to the handle."""
        self.edition = edition
        self.scenario = scenario
        self.owner = owner
        self.answer = Answer()
        """What the agent answered; an empty text until it is submitted, as in any rollout without an answer."""
        self.session: LiveSession = edition.environment.session()
        self.seen = anyio.current_time()
        """When a request last named the episode."""
        self._users = 0
        self._streams = 0
        self._is_left = False
        self._is_driving = True
        self._is_asked = False
        self._is_set_up = False
        self._scope = anyio.CancelScope()
        self._wake = anyio.Event()
        self._graded = anyio.Event()
        self._collected = anyio.Event()
        self._caller: Caller | None = None
        self._outcome: Evaluation | Exception = GraderError("the episode ended before it was graded")

    def __enter__(self) -> Self:
        """Keep the episode from growing old during a request."""
        self._users += 1
        self._is_left = False
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        self.seen = anyio.current_time()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Note that its client holds a stream open, by which it is noticed when the client vanishes."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
            self._is_left = not self._streams
            self.seen = anyio.current_time()

    @property
    def is_closed(self) -> bool:
        """Whether the scenario has ended; what is left of it is its grade."""
        return self._graded.is_set()

    def is_older_than(self, seconds: float) -> bool:
        """Whether no request has used the episode for that long; or for less, where its client seems to be gone."""
        limit = min(seconds, GONE_SECONDS) if self._is_left else seconds
        return not self._users and anyio.current_time() - self.seen > limit

    async def live(self, arguments: Mapping[str, Any], *, task_status: TaskStatus[Prompt]) -> None:
        """Set the scenario up, wait for `grade` or `end`, and close the generator.

        Raises:
            SetupError: The episode was ended meanwhile; also whatever setup raises.
        """
        with self.edition.used(), self._scope:
            try:
                async with self.edition.connected(self.session):
                    await self._drive(arguments, task_status)
            except BackendError as error:  # a connection was lost
                if not self._is_set_up:
                    raise
                if not self._graded.is_set():
                    self._outcome = error
            finally:
                self._graded.set()
            await self._collected.wait()
        if not self._is_set_up:
            msg = f"scenario {self.scenario!r} was closed while it was being set up"
            raise SetupError(msg)

    async def _drive(self, arguments: Mapping[str, Any], task_status: TaskStatus[Prompt]) -> None:
        try:
            prompt = await self.session.setup(self.scenario, arguments)
            self._is_driving = False
            self._is_set_up = True
            current_caller.set(None)  # nobody waits for a word of the scenario until it is graded
            task_status.started(prompt)
            await self._wake.wait()
            if self._is_asked:
                await self._drive_grading()
        finally:
            await self._close()
        self._graded.set()  # before the connections are closed, which nobody has to wait for

    async def grade(self) -> Evaluation:
        """Grade the answer. A client that lost the reply may ask again, until the episode is ended.

        Raises:
            GraderError: The episode ended; also whatever grading raises.
        """
        self._is_asked = True
        self._caller = current_caller.get()
        self._wake.set()
        await self._graded.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def end(self) -> None:
        """Close the episode: nobody will ask for its grade again."""
        self._collected.set()
        self._wake.set()
        if self._is_driving:
            self._scope.cancel()

    async def _drive_grading(self) -> None:
        self._is_driving = True
        current_caller.set(self._caller)
        try:
            self._outcome = await self.session.grade(self.answer)
        except Exception as error:  # noqa: BLE001  the scenario's mistake is told to whoever reads the grade
            self._outcome = error
        current_caller.set(None)
        self._is_driving = False

    async def _close(self) -> None:
        """Close the generator in the scope that it was opened in: shielded from the server's end, with a deadline."""
        self._is_driving = False
        self._scope.shield = True
        self._scope.deadline = anyio.current_time() + TEARDOWN_SECONDS
        try:
            await self.session.aclose()
        except Exception as error:  # noqa: BLE001  the score stands, whatever a `finally` block does afterwards
            logger().warning(f"teardown of scenario {self.scenario!r} failed: {describe(error)}{place_of(error)}")
        self._scope.deadline = float("inf")
        self._scope.shield = False


class Episodes:
    """The open episodes of a server.

    Args:
        tasks: Where their tasks run.
        limit: How many may be open at once.
        ttl: For how many seconds an episode may go unused.
    """

    def __init__(self, tasks: TaskGroup, *, limit: int, ttl: float) -> None:
        self._tasks = tasks
        self._limit = limit
        self._ttl = ttl
        self._alive: set[Episode] = set()
        self._open: dict[str, Episode] = {}
        self._latest: dict[Hashable, str] = {}
        self._addressed: dict[str, Episode] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[Episode]:
        return iter(list(self._open.values()))

    async def open(self, episode: Episode, arguments: Mapping[str, Any]) -> Prompt:
        """Set an episode up; from now on its owner's requests without a handle belong to it.

        Raises:
            ConfigError: There are too many.
        """
        if len(self._alive) >= self._limit:
            msg = (
                f"{len(self._alive)} episodes are open, and this server takes no more (max_sessions={self._limit}); "
                "grade some, close their clients, or raise max_sessions"
            )
            raise ConfigError(msg)
        self._alive.add(episode)
        self._open[episode.handle] = self._addressed[episode.token] = episode
        prompt: Prompt = await self._tasks.start(self._run, episode, arguments)
        if episode.owner is not None and episode.handle in self._open:
            self._latest[episode.owner] = episode.handle
        return prompt

    def end(self, episode: Episode) -> None:
        """End an episode; from now on nobody finds it."""
        self._forget(episode)
        if episode.is_closed:
            self._alive.discard(episode)
        episode.end()

    async def _run(self, episode: Episode, arguments: Mapping[str, Any], *, task_status: TaskStatus[Prompt]) -> None:
        try:
            await episode.live(arguments, task_status=task_status)
        finally:
            self._forget(episode)
            self._alive.discard(episode)

    def _forget(self, episode: Episode) -> None:
        self._open.pop(episode.handle, None)
        self._addressed.pop(episode.token, None)
        if self._latest.get(episode.owner) == episode.handle:
            del self._latest[episode.owner]

    def find(self, handle: str | None, owner: Hashable) -> Episode | None:
        """Find a client's episode by its handle, or else by its owner; None where it has none.

        Raises:
            ConfigError: There is no episode of that handle.
        """
        if handle is None:
            handle = self._latest.get(owner)
            return None if handle is None else self._open[handle]
        if handle not in self._open:
            msg = (
                f"there is no episode {handle!r}: it was graded, its client left, or nobody used it for "
                f"{self._ttl:g} s (episode_ttl); set the scenario up again"
            )
            raise ConfigError(msg)
        return self._open[handle]

    def at(self, token: str) -> Episode:
        """Find the episode of an address.

        Raises:
            ConfigError: It has ended.
        """
        if token not in self._addressed:
            msg = (
                "this is the address of one episode, which has ended: it was graded, its client left, or nobody used "
                f"it for {self._ttl:g} s (episode_ttl); set the scenario up again, and use the new address"
            )
            raise ConfigError(msg)
        return self._addressed[token]

    def end_owner(self, owner: Hashable) -> None:
        """End the episodes of a client that has left."""
        for episode in self:
            if episode.owner == owner:
                self.end(episode)

    async def sweep(self) -> None:
        """End the episodes that nobody uses any more, for as long as the server runs."""
        while True:
            await anyio.sleep(min(self._ttl / 4, SWEEP_SECONDS))
            self._end_unused()

    def _end_unused(self) -> None:
        for episode in self:
            if episode.is_older_than(self._ttl):
                self.end(episode)
