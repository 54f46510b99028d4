"""The environment of ours that clients of others talk to. It is served from a copy, as a tool writes to its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hud import Environment
from hud_core.errors import ToolError
from hud_core.model.content import ImageContent
from hud_mcp.server.published import prompt, resource

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

env = Environment("letters", instructions="Count letters.")


@env.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@env.tool
def boom() -> str:
    """Fail."""
    raise ToolError("no such letter")


@env.tool
def picture() -> ImageContent:
    """Show a pixel."""
    return ImageContent(data=PIXEL, mimeType="image/png")


@env.tool
def reload() -> str:
    """Save this file, as an editor does."""
    file = Path(__file__)
    file.write_text(f"{file.read_text('utf-8')}# saved\n", "utf-8")
    return "saved"


@resource(env, "letters://rules", mime_type="text/plain")
def rules() -> str:
    """The rules."""
    return "Count every letter."


@prompt(env)
def spell(word: str) -> str:
    """Spell a word."""
    return f"Spell {word}"


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
