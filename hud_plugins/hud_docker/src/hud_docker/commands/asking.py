"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

from hud_mcp.commands.console import say


def agreed(question: str, *, unasked: bool) -> bool:
    """Ask for a yes, which Enter is, too.

    Args:
        question: The question.
        unasked: The answer where there is nobody to ask.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return unasked
    say(f"{question} [Y/n] ", end="")
    return sys.stdin.readline().strip().lower() in {"", "y", "yes"}
