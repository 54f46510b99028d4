"""A connection that is opened again when it is lost: for environments that are served, or entered by hand.

In a rollout a lost connection takes the rollout with it: what the server kept for it is gone, and another attempt is
honest. Calls by hand and those of a server's clients have no such attempt; they go on with a new connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import anyio

from hud_core.environment.publications import nothing
from hud_core.environment.session import LISTS, Session
from hud_core.errors import BackendError, HudError, describe
from hud_core.log import logger
from hud_core.model.tools import ToolResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from hud_core.environment.publications import Publications
    from hud_core.environment.session import Told
    from hud_core.model.content import Prompt, ResourceContent
    from hud_core.model.publications import ListedPrompt, ListedResource
    from hud_core.model.tools import Tool, ToolCall

T = TypeVar("T")

CLOSE_SECONDS = 30.0
"""How long a scenario's ``finally`` blocks may take when its rollout is cancelled, and how long a connection's end."""
STABLE_SECONDS = 10.0
"""A connection that lives shorter than this counts as one that could not be opened."""
FIRST_DELAY = 0.5
"""Seconds to wait before the second attempt in a row to open a connection; each further one waits twice as long."""
LONGEST_DELAY = 30.0
GIVEN_UP = f"closing took longer than {CLOSE_SECONDS:.0f} s and was given up"


class LastingSession(Session):
    """The session of one connection, and of each that takes its place.

    One task holds them all, one after the other (`live`): whatever task groups they need are not their callers'. It
    opens the next when somebody asks for it, and not before a delay that grows while they fail.

    Args:
        what: What errors call the connection.
        opens: Opens it.
    """

    def __init__(self, what: str, opens: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        self._what = what
        self._opens = opens
        self._session: Session | None = None
        self._opened = 0.0
        self._is_closing = False
        self._wanted = anyio.Event()
        self._settled = anyio.Event()
        self._ending = anyio.Event()
        self._opening: anyio.CancelScope | None = None
        self._failure: HudError = BackendError(f"{what} is not open")
        self._failures = 0
        self._not_before = 0.0
        self._tools = LastingTools(self)

    @property
    def tools(self) -> LastingTools:
        """The tools of whichever connection is open."""
        return self._tools

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> NoReturn:
        """Refuse: an episode has connections of its own, and its state would not survive a loss."""
        del args
        msg = f"{self._what} is shared, and sets no scenario {scenario!r} up; run it as a task"
        raise BackendError(msg)

    async def grade(self, answer: object) -> NoReturn:
        """Refuse, as `setup`."""
        del answer
        msg = f"{self._what} is shared, and has nothing to grade"
        raise BackendError(msg)

    async def describe_scenarios(self) -> Sequence[ListedPrompt]:
        """Describe the scenarios of whichever connection is open."""
        return await self.ask(lambda session: session.describe_scenarios(), is_repeatable=True)

    # --- the task that holds it ---------------------------------------------------------------------------------------

    async def live(self, opened: Callable[[], None]) -> None:
        """Open the connection, and open it again whenever somebody asks, until `close`.

        Args:
            opened: Called when it is open for the first time.

        Raises:
            HudError: It cannot be opened for the first time; also whatever else opening raises.
        """
        try:
            if (error := await self._hold(opened)) is not None:
                raise error
            while not self._is_closing:
                await self._wanted.wait()
                error = None if self._is_closing else await self._hold(_nothing)
                if error is not None:
                    self._failure = BackendError(f"{self._what} cannot be opened again: {describe(error)}")
                    self._put_off()
                    self._settled.set()
        finally:
            self._settled.set()

    def close(self) -> None:
        """Let the connection end; from now on it has a deadline."""
        self._is_closing = True
        self._failure = BackendError(f"{self._what} is being closed")
        self._ending.set()
        self._wanted.set()
        if self._opening is not None:
            self._opening.cancel()

    async def _hold(self, opened: Callable[[], None]) -> Exception | None:
        """Hold one connection until it is lost or no longer needed; give what kept it from being opened."""
        self._wanted, self._ending = anyio.Event(), anyio.Event()

        def begin(session: Session) -> None:
            self._opening = None
            self._begin(session)
            opened()

        try:
            with anyio.CancelScope() as self._opening:
                if await hold(self._opens, self._ending, begin):
                    logger().warning(f"{self._what}: {GIVEN_UP}")
        except Exception as error:  # noqa: BLE001  whatever a backend raises is told to those who wait for it
            if self._opening is not None:
                return error
            logger().warning(f"{self._what}: teardown failed: {describe(error)}")
        finally:
            self._opening = self._session = None  # also where the backend ended it, and nobody had noticed yet
        return None

    def _begin(self, session: Session) -> None:
        self._session, self._opened = session, anyio.current_time()
        self._tools.begin(session)
        self._settled.set()

    # --- those who call -----------------------------------------------------------------------------------------------

    async def current(self) -> Session:
        """Give the open session, and open it again where it was lost.

        Raises:
            BackendError: It cannot be opened, or was lost too often to be tried now; the message says why.
        """
        if self._session is not None and self._session.is_lost:
            self.lose(self._session, BackendError("it ended while nobody used it"))
        if self._session is None and not self._is_closing:
            self._want()
            await self._settled.wait()
        if self._session is None:
            raise self._failure
        return self._session

    async def ask(self, request: Callable[[Session], Awaitable[T]], *, is_repeatable: bool = False) -> T:
        """Ask the open session; once more over a new connection, where that does nothing twice.

        Raises:
            BackendError: The connection was lost.
        """
        try:
            return await self._ask(request)
        except BackendError as error:
            if not (is_repeatable or error.is_unsent):
                raise
        return await self._ask(request)

    async def _ask(self, request: Callable[[Session], Awaitable[T]]) -> T:
        session = await self.current()
        try:
            return await request(session)
        except BackendError as error:
            raise self.lose(session, error) from error

    def _want(self) -> None:
        """Have the session opened, unless it is being opened already."""
        if self._wanted.is_set() or self._opening is not None:
            return
        wait = self._not_before - anyio.current_time()
        if wait > 0:
            msg = f"{self._failure}; it is opened again in {wait:.1f} s at the earliest"
            raise BackendError(msg)
        self._settled = anyio.Event()
        self._wanted.set()

    def lose(self, session: Session, error: BackendError) -> BackendError:
        """Give a session up that is lost, for the next call to open another; give the error for whoever noticed."""
        lost = f"{self._what} was lost: {describe(error)}"
        if session is self._session:
            self._session, self._failure = None, BackendError(lost)
            logger().warning(lost)
            if anyio.current_time() - self._opened >= STABLE_SECONDS:
                self._failures = 0
            self._put_off()
            self._ending.set()
        told = BackendError(f"{lost}; the next call opens it again")
        told.is_unsent = error.is_unsent
        return told

    def _put_off(self) -> None:
        """Have the next attempt wait: the first not at all, each further one in a row twice as long."""
        self._failures += 1
        delay = 0.0 if self._failures == 1 else min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self._failures - 2, 10))
        self._not_before = anyio.current_time() + delay


class LastingTools:
    """The tools of whichever connection is open; while none is, those that the last one had."""

    def __init__(self, session: LastingSession) -> None:
        self._session = session
        self._known: Sequence[Tool] = ()
        self._passed = 0
        self._revision: Callable[[], int | None] = lambda: None
        self._follow: Callable[[Told], None] = _follow_later
        self._told: Told | None = None
        self._publications = LastingPublications(session)

    def begin(self, session: Session) -> None:
        """Go on with another session, whose lists may be others."""
        self._passed += 1 + (self._revision() or 0)
        self._revision = lambda: getattr(session.tools, "revision", None)
        self._follow = getattr(session.tools, "follow", _follow_later)
        if self._told is not None:
            self._follow(self._told)
            for kind in LISTS:
                self._told(kind)

    def follow(self, told: Told) -> None:
        """Have `told` called when a list changes, or another connection takes the place of the one that had it."""
        self._told = told
        self._follow(told)

    @property
    def revision(self) -> int | None:
        """A number that grows when the list of tools changes; None where nobody can tell."""
        now = self._revision()
        return None if now is None else self._passed + now

    @property
    def publications(self) -> LastingPublications:
        """The prompts and resources of whichever connection is open."""
        return self._publications

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools; those that were known where the connection is lost and cannot be opened now.

        Raises:
            BackendError: The server gives no list.
        """
        try:
            session = await self._session.current()
        except BackendError as error:
            logger().warning(f"the tools are those from before: {error}")
            return self._known
        try:
            self._known = await session.tools.list_tools()
        except BackendError as error:
            if not session.is_lost:
                raise
            self._session.lose(session, error)
        return self._known

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool; over a new connection, once, where it is known not to have arrived over the old one."""
        try:
            return await self._session.ask(lambda session: session.tools.call_tool(call))
        except BackendError as error:
            return ToolResult.error(f"tool {call.name!r}: {describe(error)}", call.id)


class LastingPublications:
    """The prompts and resources of whichever connection is open; while none is, the lists that the last one had."""

    def __init__(self, session: LastingSession) -> None:
        self._session = session
        self._prompts: Sequence[ListedPrompt] = ()
        self._resources: Sequence[ListedResource] = ()

    async def list_prompts(self) -> Sequence[ListedPrompt]:
        """List the prompts."""
        try:
            self._prompts = await self._ask(lambda published: published.list_prompts())
        except BackendError as error:
            logger().warning(f"the prompts are those from before: {error}")
        return self._prompts

    async def list_resources(self) -> Sequence[ListedResource]:
        """List the resources."""
        try:
            self._resources = await self._ask(lambda published: published.list_resources())
        except BackendError as error:
            logger().warning(f"the resources are those from before: {error}")
        return self._resources

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> Prompt:
        """Give a prompt; over a new connection where the old one is lost."""
        return await self._ask(lambda published: published.get_prompt(name, arguments))

    async def read_resource(self, uri: str) -> Sequence[ResourceContent]:
        """Read a resource; over a new connection where the old one is lost."""
        return await self._ask(lambda published: published.read_resource(uri))

    async def _ask(self, request: Callable[[Publications], Awaitable[T]]) -> T:
        """Ask for something that may be asked for twice.

        Raises:
            BackendError: The connection is lost, and cannot be opened again.
        """
        return await self._session.ask(lambda session: request(_published(session)), is_repeatable=True)


def _published(session: Session) -> Publications:
    return getattr(session.tools, "publications", None) or nothing()


async def hold(
    opens: Callable[[], AbstractAsyncContextManager[Session]], ending: anyio.Event, opened: Callable[[Session], None]
) -> bool:
    """Hold a session open, in this task from beginning to end. Whoever is cancelled meanwhile still cleans up over it.

    Args:
        opens: Opens it.
        ending: Set when it is to end; from then on it has a deadline.
        opened: Called with it when it is open.

    Returns:
        Whether closing took too long, and was given up.
    """
    with anyio.CancelScope() as scope:
        async with opens() as session:
            scope.shield = True
            opened(session)
            await ending.wait()
            scope.deadline = anyio.current_time() + CLOSE_SECONDS
    return scope.cancelled_caught


def _follow_later(_: Told) -> None:
    """Tell nobody: there is no connection, or it knows of no changes."""


def _nothing() -> None:
    """Tell nobody."""
