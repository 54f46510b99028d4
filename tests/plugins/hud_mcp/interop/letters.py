"""The environment of the interop tests: served by our `hud dev`, and in its own environment by that of hud-python."""

from __future__ import annotations

from typing import Any

from hud import Environment

env = Environment("letters", instructions="Count letters.")


@env.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@env.tool()
def boom() -> str:
    """Fail."""
    raise ValueError("no such letter")


@env.scenario()
async def say(expected: str) -> Any:
    """Say this, to the letter."""
    answer = yield f"Say {expected}"
    yield 1.0 if answer == expected else 0.0


@env.scenario(returns=int)
async def number(expected: int) -> Any:
    """Answer with this number."""
    answer = yield f"Answer {expected}"
    yield 1.0 if answer.content == expected and type(answer.content) is int else 0.0


@env.scenario(returns=bool)
async def flag(expected: bool) -> Any:
    """Answer with this truth value."""
    answer = yield f"Answer {expected}"
    yield 1.0 if answer.content is expected else 0.0


@env.scenario(returns=dict[str, int])
async def counts(expected: dict[str, int]) -> Any:
    """Answer with these counts."""
    answer = yield f"Answer {expected}"
    yield 1.0 if answer.content == expected else 0.0
