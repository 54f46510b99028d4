"""The letter counter: an environment with one tool and one scenario."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from hud import Environment

env = Environment("letter-counter")


@env.tool
def count_letter(text: str, letter: str) -> int:
    """Count how often a letter occurs in a text.

    Args:
        text: The text to look through.
        letter: The letter to count; case does not matter.
    """
    return text.lower().count(letter.lower())


@env.scenario()
async def count(text: str, letter: str) -> AsyncGenerator[str | float, str]:
    """Ask how often a letter occurs in a text."""
    answer = yield f"How many times does the letter {letter!r} occur in {text!r}? Answer with the number."

    numbers = re.findall(r"\d+", answer)
    yield 1.0 if numbers[-1:] == [str(count_letter(text, letter))] else 0.0
