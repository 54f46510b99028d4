"""Fakes that need no model, no network and no other plugin. The module is a plugin itself: give it to a `Kernel`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from hud_core.environment.environment import Environment, run_hooks
from hud_core.errors import ConfigError
from hud_core.hookspecs import hookimpl
from hud_core.interfaces import Agent, Backend, ResultSink
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.tools import ToolCall
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from hud_core.environment.session import Session, Toolbox
    from hud_core.model.content import Prompt
    from hud_core.model.events import Event
    from hud_core.model.task import EnvRef, Recipe
    from hud_core.model.tools import ToolResult

CLOSE_SECONDS = 10.0


class ScriptedAgent(Agent):
    """Calls the tools it is told to, one a step, and gives the answer it is told to give.

    ```python
    agent = ScriptedAgent([ToolCall("echo", {"text": "hi"})], answer="3")
    ```

    Args:
        calls: The tool calls; names with arguments, as ``("echo", {"text": "hi"})``, will do.
        answer: What to answer.
        name: What records call it.
    """

    def __init__(
        self,
        calls: Iterable[ToolCall | tuple[str, dict[str, object]]] = (),
        answer: Answer | str = "",
        *,
        name: str = "scripted",
    ) -> None:
        self.name = name
        self.calls: tuple[ToolCall, ...] = tuple(
            call if isinstance(call, ToolCall) else ToolCall(*call) for call in calls
        )
        self.answer = answer
        self.results: list[ToolResult] = []
        """What the tools gave, in all rollouts."""

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer | str:  # noqa: ARG002
        """Make the calls, as far as the steps go, and answer."""
        for call in self.calls[:max_steps]:
            self.results.append(await toolbox.call_tool(call))
        if len(self.calls) > max_steps:
            return Answer(stop_reason=StopReason.MAX_STEPS)
        return self.answer

    @property
    def fingerprint(self) -> str:
        """The script."""
        return f"{self.name}: {self.calls} {self.answer}"


class MemorySink(ResultSink):
    """Keeps every event in a list, for tests to look at."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_closed: bool = False

    async def handle(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    async def aclose(self) -> None:
        """Remember that the job closed the sink."""
        self.is_closed = True

    def of_type(self, type_: str) -> list[Event]:
        """Give the events of one type, such as ``"graded"``."""
        return [event for event in self.events if event.type == type_]


class InProcessBackend(Backend):
    """Opens environments of this process, without the pooling of ``hud-local``: enough to run a job in a test."""

    def __init__(self) -> None:
        self._ready: list[Environment] = []

    @asynccontextmanager
    async def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AsyncIterator[Session]:  # noqa: ARG002
        """Open a session here."""
        if not isinstance(ref, Environment):
            msg = f"the testing backend opens environments of this process, got {ref!r}"
            raise ConfigError(msg)
        if ref not in self._ready:
            self._ready.append(ref)
            await run_hooks(ref.on_initialize)
        session = ref.session()
        try:
            yield session
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await session.aclose()

    async def aclose(self) -> None:
        """Run the environments' shutdown functions."""
        while self._ready:
            await run_hooks(self._ready.pop().on_shutdown)


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    """Provide a backend for environments of this process, under the name that jobs use by default."""
    yield Provider("local", lambda: InProcessBackend, "opens environments of this process, for tests")


@hookimpl
def hud_result_sinks() -> Iterable[Provider[ResultSink]]:
    """Provide a sink that keeps events."""
    yield Provider("memory", lambda: MemorySink, "keeps events in a list, for tests")
