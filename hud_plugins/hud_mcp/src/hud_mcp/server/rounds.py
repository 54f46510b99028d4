"""Requests of 2026-07-28 that ask their client something: they take several rounds, and stay alive between them.

The protocol has no requests from servers to clients any more. A request that needs an answer ends with what it asks,
and the client sends it again with the answers. The code that asked is not run again: it waits here, and goes on.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import mcp_types as types
import msgspec
from mcp import MCPError
from pydantic import TypeAdapter, ValidationError

from hud_core.errors import ConfigError, ToolError
from hud_mcp.callers import current_caller
from hud_mcp.server.asking import Caller
from hud_mcp.server.store import new_handle

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from hud_mcp.server.store import EpisodeStore

    Context = ServerRequestContext[Any, Any]

METHODS = frozenset(("tools/call", "prompts/get", "resources/read"))
"""Requests that may ask their client something."""
_TOGETHER = 5
"""For how many turns of the event loop the first question waits for others that begin at the same time."""


class Rounds:
    """The requests that wait for their client's answers.

    Args:
        tasks: Where they run.
        limit: How many may wait at once.
        ttl: For how many seconds each may wait.
        store: Names this replica in their state, where there are several.
    """

    def __init__(self, tasks: TaskGroup, *, limit: int, ttl: float, store: EpisodeStore | None) -> None:
        self._tasks = tasks
        self._limit = limit
        self._ttl = ttl
        self._store = store
        self._waiting: dict[str, _Call] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def run(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Answer a request, or a further round of one.

        Raises:
            MCPError: It names a state that is none, or another request's; or an answer is malformed.
        """
        state = (ctx.params or {}).get("requestState")
        if state is None:
            call = _Call(ctx)
            self._tasks.start_soon(call.live, ctx, call_next)
        else:
            call = self._resumed(ctx, state)
        try:
            asked = await call.settled()
        except BaseException:  # the client has left, and nobody will ask for the result
            call.end()
            raise
        return call.result() if asked is None else self._park(call, asked)

    def close(self) -> None:
        """End the requests that wait."""
        for call in list(self._waiting.values()):
            call.end()

    def _resumed(self, ctx: Context, state: object) -> _Call:
        call = self._waiting.get(state) if isinstance(state, str) else None
        if call is None or call.identity != _identity(ctx):
            msg = "requestState is none of this server's for this request, or has expired; make the request anew"
            raise MCPError(types.INVALID_PARAMS, msg)
        call.go_on(ctx)
        del self._waiting[str(state)]
        return call

    def _park(self, call: _Call, asked: dict[str, types.InputRequest]) -> types.InputRequiredResult:
        if len(self._waiting) >= self._limit:
            call.end()
            msg = f"{len(self._waiting)} requests wait for their clients' answers, and this server takes no more"
            raise ConfigError(msg)
        state = new_handle(self._store)
        self._waiting[state] = call
        self._tasks.start_soon(self._expire, state, call)
        return types.InputRequiredResult(input_requests=asked, request_state=state)

    async def _expire(self, state: str, call: _Call) -> None:
        with anyio.move_on_after(self._ttl):
            await call.resumed.wait()
        if self._waiting.pop(state, None) is not None:
            call.end()


class _Call:
    """One request, through all of its rounds."""

    def __init__(self, ctx: Context) -> None:
        self.identity = _identity(ctx)
        self.resumed = anyio.Event()
        """Set when the client goes on with the call, or it is ended."""
        self._caller = Caller(ctx, self._ask)
        self._scope = anyio.CancelScope()
        self._changed = anyio.Event()
        self._asked: dict[str, tuple[types.InputRequest, anyio.Event]] = {}
        self._answers: dict[str, types.InputResponse] = _answers((ctx.params or {}).get("inputResponses"))
        """What was answered and is not yet read; a client that knows the questions may answer them in advance."""
        self._is_done = False
        self._outcome: HandlerResult | Exception = None

    async def live(self, ctx: Context, call_next: CallNext) -> None:
        """Run the request's code, whatever number of rounds it takes."""
        current_caller.set(self._caller)
        with self._scope:
            try:
                self._outcome = await call_next(ctx)
            except Exception as error:  # noqa: BLE001  told to the client in the round that is open
                self._outcome = error
        self._caller.is_open = False
        self._is_done = True
        self._changed.set()

    async def settled(self) -> dict[str, types.InputRequest] | None:
        """Wait until the client has to be asked, and give what; None when the request is done."""
        while not self._is_done and not self._asked:
            await self._changed.wait()
            self._changed = anyio.Event()
        for _ in range(_TOGETHER):
            await anyio.lowlevel.checkpoint()
        return None if self._is_done else {key: request for key, (request, _) in self._asked.items()}

    def result(self) -> HandlerResult:
        """Give the result, or raise what the request's code raised."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def go_on(self, ctx: Context) -> None:
        """Take a further round's answers. What they leave out is asked again.

        Raises:
            MCPError: One is malformed, or answers nothing that was asked.
        """
        answers = _answers((ctx.params or {}).get("inputResponses"))
        self._caller.ctx = ctx
        self.resumed.set()
        self.resumed = anyio.Event()
        for key in answers.keys() & self._asked.keys():
            self._answers[key] = answers[key]
            self._asked.pop(key)[1].set()

    def end(self) -> None:
        """Cancel the request's code."""
        self.resumed.set()
        self._scope.cancel()

    async def _ask(self, request: types.InputRequest, key: str | None) -> types.InputResponse:
        key, answered = key or secrets.token_hex(4), anyio.Event()
        if key in self._asked:
            msg = f"a question with the key {key!r} is being asked already; give each its own"
            raise ToolError(msg)
        if key not in self._answers:
            self._asked[key] = (request, answered)
            self._changed.set()
            try:
                await answered.wait()
            finally:
                self._asked.pop(key, None)
        return self._answers.pop(key)


def _identity(ctx: Context) -> bytes:
    """Give what must be the same in each round of a request."""
    params = dict(ctx.params or {})
    return msgspec.json.encode([ctx.method, params.get("name"), params.get("uri"), params.get("arguments")])


_RESPONSES: TypeAdapter[Any] = TypeAdapter(types.InputResponses)


def _answers(given: object) -> dict[str, types.InputResponse]:
    try:
        return _RESPONSES.validate_python(given or {})  # type: ignore[no-any-return]
    except ValidationError as error:
        msg = f"inputResponses is malformed: {error.errors()[0]['msg']}"
        raise MCPError(types.INVALID_PARAMS, msg) from error
