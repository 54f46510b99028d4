"""Runs the MCP Inspector, the protocol's own page to try a server in, beside a server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from hud_core.errors import ConfigError
from hud_mcp.commands.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import Process

    from hud_mcp.commands.announce import Address

PACKAGE = "@modelcontextprotocol/inspector@2"
EXIT_SECONDS = 5.0


def find_npx() -> str:
    """Find what downloads and starts the inspector.

    Raises:
        ConfigError: Node.js is not installed.
    """
    found = shutil.which("npx")
    if found is None:
        msg = "--inspector needs npx, which comes with Node.js 22 or newer; install that, or leave --inspector out"
        raise ConfigError(msg)
    return found


async def inspect(address: Address) -> None:
    """Run the inspector with a server's address until cancelled; what it says goes to stderr."""
    with _config(address) as config:
        command = [find_npx(), "--yes", PACKAGE, "--config", str(config)]
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=2, stderr=None, start_new_session=True
        )
        try:
            code = await process.wait()
            say(f"the inspector has ended with code {code}")
        finally:
            await _end(process)


@contextlib.contextmanager
def _config(address: Address) -> Iterator[Path]:
    """Write the server down, for nobody else to read: a token is not for the command line, which everybody sees."""
    with tempfile.TemporaryDirectory(prefix="hud-inspector-") as folder:
        file = Path(folder, "mcp.json")
        server = {"type": "streamable-http", **address.server}
        file.write_text(json.dumps({"mcpServers": {address.name: server}}), "utf-8")
        yield file


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)  # npx starts others
            with anyio.move_on_after(EXIT_SECONDS):
                await process.wait()
                break
        await process.aclose()
