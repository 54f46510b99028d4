"""One replica of a stateless server: ``replica.py PORT FOLDER``, or the replicas' URLs as JSON for the folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio

from hud import Environment
from hud.server import elicit, progress
from hud_mcp.server import UrlStore

env = Environment("letters")
PORT, SHARED = sys.argv[1:]


@env.tool
def pid() -> str:
    """Say which process this is."""
    return str(os.getpid())


@env.tool
async def steps() -> str:
    """Report progress."""
    await progress(1, 2, "one")
    await progress(2, 2, "two")
    return "done"


@env.tool
async def ask() -> str:
    """Ask the client's user twice."""
    form = {"type": "object", "properties": {"name": {"type": "string"}}}
    names = [(await elicit(question, form)).content["name"] for question in ("First?", "Second?")]
    return f"{' '.join(names)} in {os.getpid()}"


@env.tool
async def wait(file: str) -> None:
    """Wait for ever, and say in a file when that ends."""
    mark = Path(file)
    mark.write_text("waiting")
    try:
        await anyio.sleep_forever()
    finally:
        mark.write_text("stopped")


@env.scenario()
async def where(expected: str) -> Any:
    """Say which process holds the episode."""
    answer = yield str(os.getpid())
    yield {"reward": float(answer == expected), "info": {"graded in": str(os.getpid())}}


store = UrlStore(PORT, json.loads(SHARED)) if SHARED.startswith("{") else SHARED
env.serve(port=int(PORT), stateless=True, store=store)
