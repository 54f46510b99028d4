"""FastAPI apps of this process: their OpenAPI documents, and their lifespans."""

from __future__ import annotations

from contextlib import asynccontextmanager
from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence

    from anyio.abc import TaskGroup

    App = Callable[..., Awaitable[None]]

SHUTDOWN_SECONDS = 20.0
"""How long an app's shutdown may take."""
_ABOUT = ("title", "version", "openapi_version", "summary", "description", "servers")


def document_of(app: Any, *, include_hidden: bool) -> Mapping[str, Any]:  # noqa: ANN401  FastAPI's, or one like it
    """Describe an app.

    Args:
        app: The app.
        include_hidden: Whether routes that are declared with ``include_in_schema=False`` are described too.
    """
    document: Mapping[str, Any] = app.openapi()
    if not include_hidden or not type(app).__module__.startswith("fastapi"):
        return document
    described: Mapping[str, Any] = import_module("fastapi.openapi.utils").get_openapi(
        **{name: getattr(app, name, None) for name in _ABOUT}, routes=_shown(app.routes)
    )
    return described


def _shown(routes: Sequence[Any]) -> list[Any]:
    """Give copies of an app's routes, as ones that are described; FastAPI passes over those that are no operations."""
    # Later versions keep an included router whole, and have a function that makes an object of each route in it.
    contexts = getattr(import_module("fastapi.routing"), "iter_route_contexts", None)
    own = [copy(route) for route in routes] if contexts is None else list(contexts(routes))
    for route in own:
        object.__setattr__(route, "include_in_schema", True)  # they are frozen, and ours
    return own


class Lifespans:
    """The lifespans of apps: each is run once, for everybody who uses the app meanwhile, in a task of its own.

    Args:
        tasks: Where those tasks run, until `aclose`. Where there is no such place, who uses an app runs its lifespan.
    """

    def __init__(self, tasks: TaskGroup | None) -> None:
        self._tasks = tasks
        self._running: dict[int, _Lifespan] = {}

    @asynccontextmanager
    async def used(self, app: Any) -> AsyncIterator[App]:  # noqa: ANN401  FastAPI's, or one like it
        """Have an app started, once; give it as one that takes requests.

        Raises:
            Exception: Whatever its startup raises. The next to use it tries again.
        """
        if self._tasks is None:
            async with _lifespan_of(app) as state:
                yield _with_state(app, state)
            return
        running = self._running.get(id(app))
        if running is None:
            running = self._running[id(app)] = _Lifespan(app)
            self._tasks.start_soon(running.live)
        await running.started.wait()
        if running.failure is not None:
            if self._running.get(id(app)) is running:
                del self._running[id(app)]
            raise running.failure
        yield _with_state(app, running.state)

    async def aclose(self) -> None:
        """Shut them all down.

        Raises:
            ExceptionGroup: Whatever their shutdowns raise.
        """
        ending, self._running = list(self._running.values()), {}
        for running in ending:
            running.end()
        for running in ending:
            await running.ended.wait()
        if failures := [running.failure for running in ending if running.failure is not None]:
            msg = "apps did not shut down"
            raise ExceptionGroup(msg, failures)


class _Lifespan:
    """One run of an app's lifespan."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401  as above
        self._app = app
        self._scope = anyio.CancelScope()
        self._closing = anyio.Event()
        self.state: Mapping[str, Any] = {}
        self.failure: Exception | None = None
        self.started = anyio.Event()
        self.ended = anyio.Event()

    async def live(self) -> None:
        """Run it, from startup to shutdown. A job that is cancelled still needs it: rollouts clean up over it."""
        try:
            with self._scope:
                async with _lifespan_of(self._app) as self.state:
                    self._scope.shield = True
                    self.started.set()
                    await self._closing.wait()
                    self._scope.deadline = anyio.current_time() + SHUTDOWN_SECONDS
        except Exception as error:  # noqa: BLE001  an app's own; it is told to those who wait for the app
            self.failure = error
        finally:
            self.ended.set()
            self.started.set()

    def end(self) -> None:
        """Have it shut down, within a deadline; or give its startup up."""
        self._closing.set()
        if not self.started.is_set():
            self._scope.cancel()


@asynccontextmanager
async def _lifespan_of(app: Any) -> AsyncIterator[Mapping[str, Any]]:  # noqa: ANN401  as above
    """Run an app's lifespan; give what it keeps for requests."""
    lifespan = getattr(getattr(app, "router", None), "lifespan_context", None)
    if lifespan is None:
        yield {}
        return
    async with lifespan(app) as state:
        yield state or {}


def _with_state(app: App, state: Mapping[str, Any]) -> App:
    """Hand each request a copy of what the lifespan keeps, as servers do."""

    async def call(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's
        scope["state"] = dict(state)
        await app(scope, receive, send)

    return call
