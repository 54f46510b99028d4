"""One live connection to an MCP server: the SDK's client in a task of its own, and what its failures mean.

The SDK's client holds task groups open, and cancels the task that entered them when the transport breaks. Here that is
never the rollout's task: a broken connection is an exception at the call that needs it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Self, TypeVar

import anyio
from mcp import Client, MCPError, types
from mcp.client.subscriptions import PromptsListChanged, ResourcesListChanged, SubscriptionLost, ToolsListChanged

from hud_core.environment.session import LISTS
from hud_core.errors import BackendError, describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio import CapacityLimiter
    from anyio.abc import TaskGroup
    from mcp.client.session import IncomingMessage

    from hud_core.environment.session import Told
    from hud_mcp.client.opening import Opener

T = TypeVar("T")

LEAVE_SECONDS = 15.0
"""How long taking leave of a server may take, its process's end included."""
REASON_SECONDS = 1.0
"""How long to wait for the reason, once a connection is known to be lost."""
_KINDS: dict[type, str] = {
    types.ToolListChangedNotification: "tools",
    types.PromptListChangedNotification: "prompts",
    types.ResourceListChangedNotification: "resources",
    ToolsListChanged: "tools",
    PromptsListChanged: "prompts",
    ResourcesListChanged: "resources",
}
"""The list that changed, by what says so: a notification up to 2025-11-25, an event since."""
_LOST_TEXTS = ("Connection closed", "SSE stream ended", "SSE stream failed", "Session terminated", "Session not found")


_UNSENT_TEXTS = ("Session terminated", "Session not found")
"""How a server refuses requests of a session that it does not know, as it does after a restart: nothing was run."""


class ConnectionLostError(BackendError):
    """The connection to a server broke.

    Args:
        message: How.
        is_unsent: Whether the request is known not to have been run.
    """

    def __init__(self, message: str, *, is_unsent: bool) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent


def _changing(client: Client) -> list[str]:
    """Name the lists of which the server says when they change."""
    able = client.server_capabilities
    return [kind for kind in LISTS if getattr(getattr(able, kind), "list_changed", False)]


class _Live:
    """One life of a connection: from the handshake until it breaks or is no longer needed."""

    __slots__ = ("client", "ended", "error", "has_session", "link", "ready", "scope")

    def __init__(self, opener: Opener) -> None:
        self.link = opener.open()
        self.client: Client | None = None
        self.error: Exception | None = None
        # A rollout that is cancelled still has to end its episode: only `Connection` ends a life.
        self.scope = anyio.CancelScope(shield=True)
        self.ready = anyio.Event()
        self.ended = anyio.Event()
        self.has_session = False
        """Whether the protocol ties requests to this connection; since 2026-07-28 it does not."""


class Connection:
    """Speaks with one server for one rollout. Enter and leave it in one task; calls may come from any.

    Args:
        opener: Makes the transport, again when the connection broke and may be opened once more.
        gate: Is passed while the connection is opened. What waits for it is not part of the server's time to answer.
    """

    def __init__(self, opener: Opener, gate: CapacityLimiter | None = None) -> None:
        self._opener = opener
        self._gate: CapacityLimiter | nullcontext[None] = gate or nullcontext()
        self._group: TaskGroup | None = None
        self._live: _Live | None = None
        self._leaving = anyio.Event()
        self._tool_changes = 0
        self._is_followed = anyio.Event()
        self._answered = anyio.Event()
        self._told: Told | None = None
        self.is_bound = False
        """Whether the server keeps something for this connection's session, which a new one would not have."""

    def __str__(self) -> str:
        return str(self._opener)

    @property
    def name(self) -> str:
        """What the log calls the server."""
        return self._opener.name

    def log(self, text: str, **data: object) -> None:
        """Log a line of the server, or about it."""
        self._opener.log(text, **data)

    def follow(self, told: Told | None = None) -> int:
        """Follow the server's lists from now on.

        Args:
            told: Called with ``tools``, ``prompts`` or ``resources`` when the server says that this list changed.

        Returns:
            How often the list of tools changed so far.
        """
        self._told = told or self._told
        self._is_followed.set()
        return self._tool_changes

    @property
    def is_lost(self) -> bool:
        """Whether the server is known to be gone."""
        live = self._live
        return live is not None and (live.ended.is_set() or live.link.is_gone())

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            await self._connect()
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        """Take leave of the server, within a deadline, and end the task that speaks with it."""
        group, self._group = self._group, None
        live, self._live = self._live, None
        if group is None:
            return
        self._leaving.set()
        self._is_followed.set()
        if live is not None:  # the group waits for it
            live.scope.deadline = anyio.current_time() + (LEAVE_SECONDS if live.client is not None else 0.0)
        if error is None or isinstance(error, Exception):  # the group would wrap it; the caller raises it as it is
            await group.__aexit__(None, None, None)
        else:
            await group.__aexit__(type(error), error, error.__traceback__)

    # --- opening ------------------------------------------------------------------------------------------------------

    async def _connect(self) -> _Live:
        """Open the connection, and wait for the handshake.

        Raises:
            BackendError: The server could not be reached, or did not answer as an MCP server does.
            ConfigError: It never will.
        """
        assert self._group is not None  # noqa: S101  it was entered
        async with self._gate:
            self._live = live = _Live(self._opener)
            self._group.start_soon(self._run, live)
            with anyio.move_on_after(self._opener.connect_timeout):
                await live.ready.wait()
        if live.client is not None:
            return live
        # Said before the server is ended: how that went is not the reason.
        late = None if live.ready.is_set() else self._opener.failure(live.link, TimeoutError())
        live.scope.cancel()
        with anyio.CancelScope(shield=True):
            await live.ended.wait()
        raise late or self._opener.failure(live.link, live.error)

    async def _run(self, live: _Live) -> None:
        """Hold the SDK's client open, in this task from beginning to end."""
        try:
            with live.scope:
                client = self._client(live)
                async with client:
                    live.has_session = client.session.discover_result is None
                    live.client = client
                    live.ready.set()
                    await self._stay(client)
        except Exception as error:  # noqa: BLE001  whatever broke the connection is told where it is needed
            live.error = error
        finally:
            live.ready.set()
            live.ended.set()

    def _client(self, live: _Live) -> Client:
        return Client(
            live.link.server,
            read_timeout_seconds=self._opener.timeout,
            logging_callback=self._log,
            message_handler=self._notice,
            client_info=types.Implementation(name="hud", version=_version()),
            cache=None,
            **self._opener.client_options,
        )

    async def _stay(self, client: Client) -> None:
        """Stay until the rollout has ended; where the protocol has no other way, listen for changes meanwhile."""
        if client.session.discover_result is None or not _changing(client):
            await self._leaving.wait()
            return
        await self._is_followed.wait()  # listening takes a stream of its own, which most rollouts do without
        if self._leaving.is_set():
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, client)
            await self._leaving.wait()
            group.cancel_scope.cancel()

    async def _listen(self, client: Client) -> None:
        kinds = _changing(client)
        while True:
            try:
                async with client.listen(
                    tools_list_changed="tools" in kinds,
                    prompts_list_changed="prompts" in kinds,
                    resources_list_changed="resources" in kinds,
                ) as changes:
                    async for change in changes:
                        self._note(_KINDS[type(change)])
            except SubscriptionLost:
                pass
            except (MCPError, RuntimeError, TimeoutError) as error:  # an extra: what it would have told is merely late
                self.log(f"changes of the tools are not followed: {describe(error)}")
                return
            # The server may be restarting. A request that nobody can take would end the client, so one must succeed.
            self._answered = anyio.Event()
            await self._answered.wait()
            for kind in kinds:  # nobody knows what was missed
                self._note(kind)

    async def _notice(self, message: IncomingMessage) -> None:
        if (kind := _KINDS.get(type(message))) is not None:
            self._note(kind)

    def _note(self, kind: str) -> None:
        self._tool_changes += kind == "tools"
        if self._told is not None:
            self._told(kind)

    async def _log(self, params: types.LoggingMessageNotificationParams) -> None:
        text = params.data if isinstance(params.data, str) else str(params.data)
        self.log(text, level=params.level, **({"logger": params.logger} if params.logger else {}))

    # --- asking -------------------------------------------------------------------------------------------------------

    async def ask(self, request: Callable[[Client], Awaitable[T]], *, repeatable: bool = False) -> T:
        """Send a request.

        Args:
            request: Sends it.
            repeatable: Whether it may be sent again over a new connection when this one breaks. Never for tool calls.

        Raises:
            ConnectionLostError: The connection broke.
            MCPError: The server answered with an error.
        """
        live = self._live
        if live is None:
            msg = f"{self} is not open"
            raise BackendError(msg)
        try:
            return await self._send(live, request)
        except ConnectionLostError:
            is_replaceable = self._opener.can_reopen and not (self.is_bound and live.has_session)
            if not (repeatable and is_replaceable) or self._group is None:
                raise
        self.log(f"connecting to {self} once more")
        live.scope.cancel()
        return await self._send(await self._connect(), request)

    async def _send(self, live: _Live, request: Callable[[Client], Awaitable[T]]) -> T:
        if live.client is None or live.ended.is_set():
            raise await self._lost(live, None)
        try:
            answer = await request(live.client)
        except MCPError as error:
            if not self._means_lost(live, error):
                raise
            raise await self._lost(live, error) from error
        except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise await self._lost(live, error) from error
        self._answered.set()
        return answer

    def _means_lost(self, live: _Live, error: MCPError) -> bool:
        """Whether an error says that the connection is gone; the SDK has a code for it that servers use, too."""
        return live.ended.is_set() or live.link.is_gone() or error.message.startswith(_LOST_TEXTS)

    async def _lost(self, live: _Live, error: Exception | None) -> ConnectionLostError:
        with anyio.move_on_after(REASON_SECONDS):
            await live.link.settle()
            if live.link.breaks_with_error:
                await live.ended.wait()
        failure = self._opener.failure(live.link, live.error or error)
        is_unsent = error is None or (isinstance(error, MCPError) and error.message.startswith(_UNSENT_TEXTS))
        return ConnectionLostError(f"the connection broke: {failure}", is_unsent=is_unsent)


def _version() -> str:
    from hud_core import __version__

    return __version__


def text_of(error: MCPError) -> str:
    """Say an error that a server answered with, and the details it gave."""
    if isinstance(error.data, str) and error.data and error.data not in error.message:
        return f"{error.message}: {error.data}"
    return error.message
