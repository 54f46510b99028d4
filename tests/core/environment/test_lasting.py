"""Connections that outlive the servers behind them, and what calls meet meanwhile."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hud_core.environment import lasting
from hud_core.environment.lasting import LastingSession
from hud_core.environment.session import Session
from hud_core.errors import BackendError, ConfigError
from hud_core.model.tools import Tool, ToolCall, ToolResult


class Life(Session):
    """One life of a server: it answers with its number, until it is killed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_dead = False
        self.tells = True
        self.revision = 5
        self.followers: list[Any] = []
        self.waiting = anyio.Event()
        self.scope = anyio.CancelScope()

    @property
    def is_lost(self) -> bool:
        return self.is_dead and self.tells

    @property
    def tools(self) -> Life:
        return self

    def follow(self, told: Any) -> None:
        self.followers.append(told)

    async def list_tools(self) -> list[Tool]:
        if self.is_dead:
            raise BackendError("gone")
        return [Tool(name=f"tool_{self.number}")]

    async def call_tool(self, call: ToolCall, /, **_: Any) -> ToolResult:
        if call.name == "wait":
            self.waiting.set()
            while not self.is_dead:
                await anyio.sleep(0.001)
        if self.is_dead or call.name == "die":
            error = BackendError("gone")
            error.is_unsent = call.name == "unsent"
            self.is_dead = True
            raise error
        return ToolResult.error(str(self.number)) if call.name == "fail" else ToolResult(structuredContent=self.number)

    async def setup(self, scenario: str, args: Any) -> Any:
        raise NotImplementedError

    async def grade(self, answer: Any) -> Any:
        raise NotImplementedError


class Place:
    """Where servers come to life."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.closed: list[int] = []
        self.refusal: Exception | None = None
        self.delay = 0.0

    @asynccontextmanager
    async def open(self) -> Any:
        await anyio.sleep(self.delay)
        if self.refusal is not None:
            raise self.refusal
        life = Life(len(self.lives) + 1)
        self.lives.append(life)
        try:
            with life.scope:
                yield life
        finally:
            self.closed.append(life.number)


@asynccontextmanager
async def living(place: Place) -> Any:
    session = LastingSession("connection 'far'", place.open)
    opened = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.live, opened.set)
        await opened.wait()
        yield session.tools
        session.close()


async def call(tools: Any, name: str = "number") -> Any:
    result = await tools.call_tool(ToolCall(name))
    return result.text if result.is_error else result.structured_content


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "FIRST_DELAY", 0.02)


async def test_the_next_call_after_a_loss_has_a_new_connection() -> None:
    place = Place()
    async with living(place) as tools:
        assert await call(tools) == 1
        said = await call(tools, "die")
        assert said == "tool 'die': connection 'far' was lost: gone; the next call opens it again"
        assert await call(tools) == 2
        assert place.closed == [1]
    assert place.closed == [1, 2]


@pytest.mark.parametrize("name", ["number", "unsent"])
async def test_a_call_that_cannot_have_arrived_is_made_again(name: str) -> None:
    place = Place()
    async with living(place) as tools:
        place.lives[0].is_dead = True
        place.lives[0].tells = name == "number"  # known beforehand, or from the error
        assert await call(tools, name) == 2


async def test_those_who_wait_for_a_connection_wait_for_the_same() -> None:
    place, seen = Place(), []
    async with living(place) as tools:

        async def ask(name: str) -> None:
            seen.append(await call(tools, name))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "wait")
            tasks.start_soon(ask, "wait")
            await place.lives[0].waiting.wait()
            place.lives[0].is_dead = True
        assert [("was lost: gone" in text) for text in seen] == [True, True]
        place.delay, seen = 0.01, []
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask, "number")
        assert seen == [2, 2, 2, 2]


@pytest.mark.usefixtures("patience")
async def test_one_that_keeps_dying_is_left_alone_longer_each_time() -> None:
    place = Place()
    async with living(place) as tools:
        said = [await call(tools, "die") for _ in range(20)]
        refused = [text for text in said if "at the earliest" in text]
        assert refused
        assert "connection 'far' was lost: gone; it is opened again in" in refused[0]
        assert len(place.lives) < 20
        with anyio.fail_after(60):
            while not isinstance(await call(tools), int):
                await anyio.sleep(0.01)


@pytest.mark.usefixtures("patience")
async def test_one_that_cannot_be_opened_again_says_why_until_it_can() -> None:
    place = Place()
    async with living(place) as tools:
        known = await tools.list_tools()
        place.lives[0].is_dead, place.refusal = True, OSError("no such server")
        assert "connection 'far' cannot be opened again: OSError: no such server" in await call(tools)
        assert await tools.list_tools() == known
        place.refusal = None
        with anyio.fail_after(60):
            while await call(tools) != 2:
                await anyio.sleep(0.01)


async def test_a_change_of_the_connection_is_a_change_of_the_list() -> None:
    place, told = Place(), []
    async with living(place) as tools:
        tools.follow(told.append)
        before = tools.revision
        place.lives[0].revision += 1
        assert tools.revision == before + 1
        await call(tools, "die")
        await call(tools)
        assert tools.revision > before + 1
        assert told == ["tools", "prompts", "resources"]
        assert place.lives[1].followers == [told.append]
        assert [tool.name for tool in await tools.list_tools()] == ["tool_2"]


async def test_one_that_the_backend_ends_is_opened_again() -> None:
    place = Place()
    async with living(place) as tools:
        place.lives[0].scope.cancel()
        with anyio.fail_after(60):
            while not place.closed:
                await anyio.sleep(0.001)
        assert await call(tools) == 2


async def test_an_error_of_the_tool_is_no_loss() -> None:
    place = Place()
    async with living(place) as tools:
        assert await call(tools, "fail") == "1"
        assert await call(tools) == 1


async def test_closing_ends_what_is_being_opened() -> None:
    place, said = Place(), []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks, living(place) as tools:
            place.lives[0].is_dead, place.delay = True, 600.0

            async def ask() -> None:
                said.append(await call(tools))

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
    assert said == ["tool 'number': connection 'far' is being closed"]


async def test_one_that_cannot_be_opened_at_first_raises() -> None:
    place = Place()
    place.refusal = ConfigError("never")
    with pytest.raises(ConfigError, match="never"):
        await LastingSession("connection 'far'", place.open).live(lambda: None)
