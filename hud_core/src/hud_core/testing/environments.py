"""The environment that contracts drive. A backend to another place serves it there, with ``hud-core`` installed.

Its tools and scenarios are small and do what their names say, well or badly; some leave files in a folder that a test
looks at, so that what was cleaned up can be seen from outside.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import AsyncGenerator  # noqa: TC003  a scenario's annotations are read at run time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from hud_core.environment.environment import Environment
from hud_core.model.evaluation import AgentAnswer, SubScore

contract: Environment = Environment("contract")

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""

_state = {"bumped": 0, "initialized": 0}  # module state on purpose: it shows what a backend isolates


@contract.initialize
def initialize() -> None:
    """Note that the backend ran the environment's own preparation."""
    _state["initialized"] += 1


# --- tools ------------------------------------------------------------------------------------------------------------


@contract.tool
async def echo(text: str) -> str:
    """Give the text back.

    Args:
        text: Any text.
    """
    return text


@contract.tool
async def boom(message: str = "boom") -> str:
    """Fail with the message."""
    raise RuntimeError(message)


@contract.tool
async def slow(marks: str, seconds: float = 600.0) -> str:
    """Take long; the folder `marks` shows how far it came: tool-began, tool-ended, tool-left."""
    folder = Path(marks)
    (folder / "tool-began").touch()
    try:
        await anyio.sleep(seconds)
        (folder / "tool-ended").touch()
    finally:
        (folder / "tool-left").touch()
    return "done"


@contract.tool
def bump() -> int:
    """Count calls in the module's own state, and give the count."""
    _state["bumped"] += 1
    return _state["bumped"]


@contract.tool
def initialized() -> int:
    """Say how often the environment was initialised."""
    return _state["initialized"]


@contract.tool
def die(spare: int) -> str:
    """Kill the process that this tool runs in with SIGKILL, unless its id is the one to spare."""
    if os.getpid() != spare:
        os.kill(os.getpid(), signal.SIGKILL)
    return "spared"


@contract.tool
def _internal() -> str:
    """Not for agents."""
    return "internal"


# --- scenarios --------------------------------------------------------------------------------------------------------


@contract.scenario()
async def letters(word: str, letter: str = "r") -> AsyncGenerator[Any, str]:
    """Ask how often a letter occurs in a word."""
    answer = yield f"How many times does {letter!r} occur in {word!r}?"
    yield float(answer.strip() == str(word.count(letter)))


@contract.scenario()
async def closing(marks: str) -> AsyncGenerator[Any, str]:
    """Leave the file scenario-left in the folder `marks` when the generator is closed."""
    try:
        yield "Answer anything."
        yield 1.0
    finally:
        (Path(marks) / "scenario-left").touch()


@contract.scenario()
async def calls_tool() -> AsyncGenerator[Any, str]:
    """Grade by calling a tool of the rollout's own session."""
    answer = yield "Answer anything."
    result = await contract.call_tool("echo", text=answer)
    yield float(result.text == answer)


@contract.scenario()
async def prepared() -> AsyncGenerator[Any, str]:
    """Call a tool before the prompt, and another one before the score."""
    await contract.call_tool("echo", text="the table is laid")
    answer = yield "What is on the table?"
    await contract.call_tool("echo", text="the answer")
    yield float(bool(answer))


@contract.scenario()
async def picture() -> AsyncGenerator[Any, str]:
    """Ask with roles and an image."""
    image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
    yield [
        {"role": "user", "content": "What is this?"},
        {"role": "assistant", "content": "Show me."},
        {"role": "user", "content": [{"type": "text", "text": "Here."}, image]},
    ]
    yield 1.0


@dataclass
class Point:
    """A typed answer."""

    x: int
    y: int


@contract.scenario(returns=Point, enable_citations=True)
async def typed() -> AsyncGenerator[Any, AgentAnswer[Point]]:
    """Ask for a typed answer."""
    answer = yield "Give the point x=1, y=2."
    yield float(answer.content == Point(1, 2))


@contract.scenario()
async def parts() -> AsyncGenerator[Any, str]:
    """Score in parts, with a penalty."""
    yield "Answer anything."
    yield [
        SubScore(name="right", value=1.0, weight=3.0),
        SubScore(name="short", value=0.0, weight=1.0),
        SubScore(name="rude", value=1.0, weight=-0.25),
    ]


@contract.scenario()
async def broken_setup() -> AsyncGenerator[Any, str]:
    """Fail before the prompt."""
    msg = "no prompt today"
    raise RuntimeError(msg)
    yield ""  # makes it a generator


@contract.scenario()
async def broken_grading() -> AsyncGenerator[Any, str]:
    """Fail before the score."""
    yield "Answer anything."
    msg = "no score today"
    raise RuntimeError(msg)


@contract.scenario()
async def no_score() -> AsyncGenerator[Any, str]:
    """End without a second yield."""
    yield "Answer anything."


@contract.scenario()
async def not_a_number() -> AsyncGenerator[Any, str]:
    """Score NaN."""
    yield "Answer anything."
    yield math.nan
