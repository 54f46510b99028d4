"""An environment with the tools that old task rows call; over stdio, or over HTTP at the port given."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hud_core import Environment
from hud_core.model.content import ImageContent, TextContent

env = Environment("counter")
state: dict[str, Any] = {"count": 0, "log": []}


@env.tool
def setup(start: int = 0) -> str:
    """Begin at a number."""
    if start < 0:
        raise ValueError("a counter cannot be negative")
    state["count"] = start
    return f"the counter is at {start}"


@env.tool
def board() -> list[Any]:
    """Show a picture."""
    return [TextContent(text="a board"), ImageContent(data="iVBORw0KGgo=", mimeType="image/png")]


@env.tool
def act() -> int:
    """Count one up."""
    state["count"] += 1
    return int(state["count"])


@env.tool
def evaluate(target: int, key: str = "reward") -> dict[str, Any]:
    """Score the counter."""
    mark = os.environ.get("EVALUATED")
    if mark:
        with Path(mark).open("a") as file:
            file.write("evaluated\n")
    return {key: float(state["count"] == target), "content": f"the counter is at {state['count']}", "steps": 1}


@env.tool
def anything(text: str) -> str:
    """Say what is to be said."""
    return text


@env.tool
def knows(name: str, value: str) -> dict[str, Any]:
    """Whether a variable of the process, or an argument of it, has a value."""
    return {"reward": os.environ.get(name) == value or value in sys.argv}


@env.tool
async def wait() -> str:
    """Take forever."""
    import anyio

    await anyio.sleep_forever()
    return ""


@env.tool
def computer(action: str = "screenshot") -> list[Any]:
    """Look at the screen."""
    return [ImageContent(data="iVBORw0KGgo=", mimeType="image/png")]


hub = Environment("hub")


@hub.tool
def put(number: int) -> str:
    """Begin at a number."""
    return setup(number)


env.include_router(hub, hidden=True)

if __name__ == "__main__":
    port = next((int(word) for word in sys.argv[1:] if word.isdecimal()), None)
    if port is None:
        env.run()
    else:
        env.run("http", port=port)
