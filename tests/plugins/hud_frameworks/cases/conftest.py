"""Fixtures of the cases, which run where the frameworks are installed: see test_frameworks.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import hud
import hud_local
from hud_core import Environment, Kernel, ToolError


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the frameworks'


@pytest.fixture
def env() -> Environment:
    env = Environment("letters")

    @env.tool
    def count_letter(text: str, letter: str = "r") -> dict[str, Any]:
        """Count a letter in a text.

        Args:
            text: Where to look.
        """
        return {"count": text.count(letter)}

    @env.tool
    def refuse(config: str) -> str:
        """Take an argument of a name that frameworks use themselves, and fail."""
        raise ToolError(f"not with {config}")

    @env.scenario()
    async def count():
        answer = yield "How many r are in strawberry?"
        yield float(answer == "3")

    return env


@pytest.fixture
async def ctx(env: Environment) -> AsyncIterator[Any]:
    """An open rollout."""
    async with hud.eval(env("count"), kernel=Kernel(plugins=[hud_local], autoload=False)) as ctx:
        yield ctx
        await ctx.submit("3")
