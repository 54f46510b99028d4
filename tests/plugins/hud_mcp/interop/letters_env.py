"""What clients of others see of our environment beyond `letters.py`. Served from a copy: a tool writes to this file."""

from __future__ import annotations

from pathlib import Path

from letters import env

from hud_core.model.content import ImageContent
from hud_mcp.server.published import prompt, resource

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


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


@env.scenario(exclude_tools=["reload", "pic*"])
async def still():
    """Leave the files as they are."""
    answer = yield "What is 2 + 3?"
    yield "5" in answer


@resource(env, "letters://rules", mime_type="text/plain")
def rules() -> str:
    """The rules."""
    return "Count every letter."


@prompt(env)
def spell(word: str) -> str:
    """Spell a word."""
    return f"Spell {word}"
