"""A backend to servers that a test makes up, so that connections can be tested without a protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from hud_core import Backend, Environment, EnvRef, Kernel, Provider, Session, hookimpl
from hud_core.errors import BackendError, SetupError
from hud_core.model.content import Prompt
from hud_core.model.evaluation import Evaluation
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_core.testing import fakes


class Server:
    """Somebody's server: tools that say what they were called with, perhaps a scenario, and ways to go wrong."""

    def __init__(self, *tools: str, scenarios: tuple[str, ...] = (), tells_changes: bool = True) -> None:
        self.tools = list(tools)
        self.scenarios = scenarios
        self.revision = 0 if tells_changes else None
        self.fails: Exception | None = None
        self.opening = 0.0
        self.opens_whatever_happens = False
        self.begun = anyio.Event()
        self.open = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.listed = 0
        self.lost = anyio.Event()
        self.log: list[str] = []

    def change(self, *tools: str) -> None:
        self.tools = list(tools)
        if self.revision is not None:
            self.revision += 1


class Tools:
    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def revision(self) -> int | None:
        return self._server.revision

    async def list_tools(self) -> list[Tool]:
        self._server.listed += 1
        return [Tool(name=name, description=f"{name} far away") for name in self._server.tools]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        if call.name not in self._server.tools:
            return ToolResult.error(f"unknown tool {call.name!r}; there are {', '.join(self._server.tools)}", call.id)
        self._server.calls.append((call.name, call.arguments))
        if not self._server.open:
            raise BackendError("the server is closed")
        return ToolResult.error("far error") if call.name == "fails" else _text(f"{call.name}:{call.arguments}", call)


def _text(text: str, call: ToolCall) -> ToolResult:
    from hud_core.model.content import TextContent

    return ToolResult(content=(TextContent(text=text),), call_id=call.id)


class FarSession(Session):
    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def tools(self) -> Tools:
        return Tools(self._server)

    async def list_scenarios(self) -> tuple[str, ...]:
        return self._server.scenarios

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        if scenario not in self._server.scenarios:
            raise SetupError(f"no {scenario!r}")
        from hud_core.environment.values import prompt_from

        return prompt_from(f"{scenario} {dict(args)}")

    async def grade(self, answer: Any) -> Evaluation:
        return Evaluation(reward=float(answer.text == "far"))


class FarBackend(Backend):
    @asynccontextmanager
    async def open(self, ref: Any, *, seed: int | None = None) -> AsyncIterator[Session]:
        server: Server = ref.options["server"]
        server.begun.set()
        with anyio.CancelScope(shield=server.opens_whatever_happens):
            await anyio.sleep(server.opening)
        if server.fails is not None:
            raise server.fails
        server.open += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_lose, server)
                yield FarSession(server)
                tasks.cancel_scope.cancel()
        finally:
            server.open -= 1
            server.log.append("closed")


async def _lose(server: Server) -> None:
    await server.lost.wait()
    msg = "the line went dead"
    raise OSError(msg)


class Plugin:
    @staticmethod
    @hookimpl
    def hud_backends() -> Any:
        yield Provider("far", lambda: FarBackend)


def far_kernel() -> Kernel:
    return Kernel(autoload=False, plugins=[fakes, Plugin], strict=True)


def to(server: Server, name: str = "far") -> EnvRef:
    return EnvRef(name, "far", {"server": server})


def connected_to(**servers: Server) -> Environment:
    env = Environment("near")
    for name, server in servers.items():
        env.connect(to(server, name))
    return env
