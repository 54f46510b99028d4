"""Stands for ``docker run ... IMAGE``: the server that old rows expect in their images."""

from __future__ import annotations

import sys
from typing import Any

from hud_core import Environment

env = Environment("image")
state: dict[str, Any] = {"count": 0, "set_up": []}


@env.tool
def setup(
    name: str = "", arguments: dict[str, Any] | None = None, function: str = "", args: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Dispatch to what sets up."""
    state["set_up"].append((name or function, arguments or args))
    return {"ready": name or function, "observation": "all is set"}


@env.tool
def act() -> int:
    """Count one up."""
    state["count"] += 1
    return int(state["count"])


@env.tool
def evaluate(
    target: int = 0,
    name: str = "",
    arguments: dict[str, Any] | None = None,
    function: str = "",
    args: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Dispatch to what scores: whether it was set up, and whether its key came with the command."""
    del name, arguments, function, args
    if target:
        return {"reward": float(state["count"] == target)}
    keys = [word for word in sys.argv if word.startswith("OPENAI_API_KEY=")]
    return {"grade": 1.0 if state["set_up"] and keys in ([], ["OPENAI_API_KEY=sk-planted-openai"]) else 0.0}


if __name__ == "__main__":
    env.run()
