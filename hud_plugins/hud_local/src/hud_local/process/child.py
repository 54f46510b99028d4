"""A child: one environment, one rollout, in a process of its own.

It has two sockets. The harness's takes setup, grade and close; they run one after another in the main task, since a
scenario's generator must stay in one task. The agent's takes calls of tools, any number at once, and can do nothing
else. The event loop is asyncio's whatever the job runs on: it is the one that tool and scenario code expects.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from typing import TYPE_CHECKING

import msgspec

from hud_core.environment.environment import run_hooks
from hud_core.errors import HudError, SetupError, ToolError, describe
from hud_local.process.failures import capture, where
from hud_local.process.messages import Request, Response, decode, decode_answer, decode_call, encode
from hud_local.process.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hud_core.environment.environment import Environment


def _seed(seed: int | None) -> None:
    """Seed the random numbers; without a seed, at least those of siblings must differ."""
    if seed is not None:
        random.seed(seed)
    if numpy := sys.modules.get("numpy"):  # Python reseeds its own generator in a forked child, numpy does not
        numpy.random.seed(None if seed is None else seed % 2**32)


class Child:
    """Serves one session of an environment, on a loop of its own.

    It can be made before the process is forked, and used after that.

    Args:
        loop: The loop, which does not run.
        harness: The file descriptor of the harness's socket.
        tools: The file descriptor of the agent's socket.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, harness: int, tools: int) -> None:
        self._loop = loop
        self._harness = Wire(harness, loop)
        self._tools = Wire(tools, loop)
        self._harness.listen(self._on_harness, self._end)
        self._tools.listen(self._on_tools, lambda: None)
        self._inbox: asyncio.Queue[Request] = asyncio.Queue()
        self._calls = asyncio.TaskGroup()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._ready = asyncio.Event()
        self._setup_error: HudError | None = None
        self._is_initialised = False
        self._connections = contextlib.AsyncExitStack()
        self._close: Request | None = None
        self._is_closing = False

    def serve(self, environment: Environment, seed: int | None) -> None:
        """Serve a session of this environment; returns when the job has closed it, or is gone."""
        _seed(seed)
        self._environment = environment
        self._session = environment.session()
        self._main = self._loop.create_task(self._run())
        self._loop.run_until_complete(self._main)  # and no more: the process ends with the loop

    async def _run(self) -> None:
        """Serve, then tear the environment down."""
        with contextlib.suppress(asyncio.CancelledError):  # `_end` cancels whatever runs, once
            async with self._calls:
                await self._initialise()
                await self._serve()
        self._main.uncancel()
        await self._tear_down()
        self._tools.finish()
        self._harness.finish()

    async def _initialise(self) -> None:
        try:
            await run_hooks(self._environment.on_initialize)
        except Exception as error:  # noqa: BLE001  the environment's bug is the rollout's outcome, not the child's end
            self._setup_error = SetupError(f"initialize failed: {describe(error)}{where(error)}")
        else:
            self._is_initialised = True
            await self._connect()
        self._ready.set()

    async def _connect(self) -> None:
        """Open the environment's connections: they are this rollout's, and end with it."""
        if not self._environment.connections:
            return
        from hud_core.job.backends import connected

        try:
            await self._connections.enter_async_context(connected(self._session))
        except HudError as error:
            self._setup_error = error

    async def _tear_down(self) -> None:
        """Close the scenario and the connections, run the shutdown functions, and say how it went."""
        failure = None
        try:
            try:
                async with self._connections:
                    await self._session.aclose()
            finally:
                if self._is_initialised:
                    await run_hooks(self._environment.on_shutdown)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  as in `_initialise`
            failure = capture(error, "close")
        if self._close is not None:
            self._harness.send(Response(self._close.number, failure=failure))

    # --- the harness --------------------------------------------------------------------------------------------------

    def _on_harness(self, request: Request) -> None:
        if request.method == "close":
            self._close = request
            self._end()
        else:
            self._inbox.put_nowait(request)

    def _end(self) -> None:
        """Cancel what runs, once: its ``finally`` blocks run now, and may await."""
        if self._is_closing:
            return
        self._is_closing = True
        for task in (self._main, *self._running.values()):
            task.cancel()

    async def _serve(self) -> None:
        while not self._is_closing:
            request = await self._inbox.get()
            await self._answer(self._harness, request, self._do)

    async def _do(self, request: Request) -> bytes:
        if request.method == "setup":
            scenario, arguments = decode(request.payload)
            return encode(await self._session.setup(scenario, arguments))
        return encode(await self._session.grade(decode_answer(request.payload)))

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _on_tools(self, request: Request) -> None:
        if request.method == "cancel":
            if task := self._running.get(request.number):
                task.cancel()
        elif not self._is_closing:
            task = self._calls.create_task(self._answer(self._tools, request, self._call))
            self._running[request.number] = task
            task.add_done_callback(lambda _: self._running.pop(request.number))

    async def _call(self, request: Request) -> bytes:
        tools = self._session.tools
        if request.method == "list_tools":
            return encode(await tools.list_tools())
        if request.method == "call_tool":
            return encode(await tools.call_tool(decode_call(request.payload)))
        msg = f"{request.method!r} is not for agents"
        raise ToolError(msg)

    # --- both ---------------------------------------------------------------------------------------------------------

    async def _until_ready(self) -> None:
        await self._ready.wait()
        if self._setup_error is not None:
            raise self._setup_error

    async def _answer(self, wire: Wire, request: Request, do: Callable[[Request], Awaitable[bytes]]) -> None:
        """Do what is asked and send what came of it; only a cancellation from outside is raised."""
        number, method = request.number, request.method
        try:
            await self._until_ready()
            wire.send(Response(number, msgspec.Raw(await do(request))))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            wire.send(Response(number, failure=capture(error, method)))
        except Exception as error:  # noqa: BLE001  as in `_initialise`
            wire.send(Response(number, failure=capture(error, method)))
