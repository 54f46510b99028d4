"""An environment to serve in tests, and ways to serve it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

import anyio
from free_ports import free_port

from hud_core import Environment
from hud_core.model.content import AudioContent, ImageContent, Message, ResourceContent, TextContent
from hud_core.model.evaluation import Evaluation, SubScore

PIXEL = "iVBORw0KGgo="


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class City:
    name: str
    people: int


@dataclass
class Log:
    """What happened in the environment."""

    lines: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)


def make_environment(log: Log | None = None, name: str = "letters") -> Environment:
    """Declare an environment with a bit of everything."""
    env = Environment(name, instructions="Count letters.")
    log = log or Log()
    _add_tools(env, log)
    _add_scenarios(env, log)
    _add_failures(env)
    return env


def _add_tools(env: Environment, log: Log) -> None:
    @env.tool
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @env.tool
    async def boom() -> str:
        """Fail."""
        raise RuntimeError("the tool broke")

    @env.tool
    async def gallery() -> list[object]:
        """Give one block of each kind."""
        return [
            TextContent(text="look"),
            ImageContent(data=PIXEL),
            AudioContent(data="UklGRg=="),
            ResourceContent(uri="note://1", text="a note", mimeType="text/plain"),
            ResourceContent(uri="file:///x.bin", data="AAA=", mimeType="application/x-x"),
            ResourceContent(uri="https://example.test/page"),
        ]

    @env.tool
    async def wait() -> str:
        """Wait for ever."""
        log.lines.append("waiting")
        try:
            await anyio.sleep_forever()
        finally:
            log.lines.append("no longer waiting")

    @env.tool
    async def _secret() -> str:
        return "internal"


def _add_scenarios(env: Environment, log: Log) -> None:
    @env.scenario()
    async def count(word: str, letter: str = "r"):
        """Count a letter in a word."""
        mark = f"{word}-{id(object())}"
        log.open.add(mark)
        try:
            answer = yield f"How many {letter} in {word}?"
            yield 1.0 if answer == str(word.count(letter)) else 0.0
        finally:
            log.open.discard(mark)

    @env.scenario()
    async def echo(expected: str):
        """Compare the answer with what is expected, letter by letter."""
        answer = yield "Say it."
        yield {"reward": float(answer == expected), "info": {"got": answer}}

    @env.scenario(exclude_tools=["boom", "wa*"])
    async def quiet():
        yield "Be quiet."
        yield 1.0

    @env.scenario(returns=City)
    async def city():
        """Name a city."""
        answer = yield "Name a city."
        yield Evaluation(
            reward=1.0 if answer.content == City("Paris", 2) else 0.0,
            content="as a city",
            subscores=[SubScore(name="name", value=1.0)],
        )

    @env.scenario()
    async def picture():
        yield [
            Message(role="system", content=(TextContent(text="You see."),)),
            Message(content=(TextContent(text="What is this?"), ImageContent(data=PIXEL))),
            Message(role="assistant", content=(TextContent(text="Let me look."),)),
        ]
        yield 1.0

    @env.scenario()
    async def typed(
        number: int,
        share: float,
        flag: bool,
        colour: Colour,
        cities: list[City],
        note: str | None = None,
        anything=None,
    ):
        assert isinstance(cities[0], City)
        yield repr((number, share, flag, colour, cities[0].name, note, anything))
        yield 1.0

    @env.scenario()
    async def uses_tool():
        result = await env.call_tool("add", a=1, b=2)
        yield f"1 + 2 = {result.text}"
        yield 1.0

    @env.scenario()
    async def holds_tasks():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            answer = yield "Held."
            tasks.cancel_scope.cancel()
        yield float(answer == "ok")


def _add_failures(env: Environment) -> None:
    @env.scenario()
    async def bad_grade():
        yield "Go."
        raise RuntimeError("the grader broke")

    @env.scenario()
    async def no_grade():
        yield "Go."

    @env.scenario()
    async def bad_setup():
        raise RuntimeError("the setup broke")
        yield "never"


@contextlib.asynccontextmanager
async def over_http(server, **options) -> AsyncIterator[str]:
    """Serve over HTTP on this machine; give the endpoint's URL."""
    port = free_port()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: server.serve_http(port=port, **options))
        while True:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                await anyio.sleep(0.01)
                continue
            await stream.aclose()
            break
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            tasks.cancel_scope.cancel()
