"""``hud dev``: from saving a file until a client's call sees the new code. Wall time: most of it is waiting."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from letters import Row, show
from mcp import Client

SAVES = 50
ENV = """
from hud import Environment
from letters_version import VERSION

env = Environment("letters")


@env.tool
async def get_version() -> int:
    return VERSION
"""


def measure() -> list[Row]:
    """Save a file again and again while a client calls."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        project.joinpath("env.py").write_text(ENV, "utf-8")
        save(project, 0)
        command = [sys.executable, "-m", "hud", "dev", "env", "--port", "0", "--json"]
        with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            times = anyio.run(_time, json.loads(process.stdout.readline())["url"], project)
            process.terminate()
    return [
        Row("dev", f"from a save to a call of the new code: median of {SAVES}", statistics.median(times), "ms", 300),
        Row("dev", f"the slowest of the {SAVES}", max(times), "ms", 300),
    ]


def save(project: Path, version: int) -> None:
    """Save as editors do: write another file, and put it in the old one's place."""
    other = project / "letters_version.saving"
    other.write_text(f"VERSION = {version}\n", "utf-8")
    other.replace(project / "letters_version.py")


async def _time(url: str, project: Path) -> list[float]:
    times = []
    async with Client(url) as client:
        for version in range(1, SAVES + 1):
            save(project, version)
            began = time.perf_counter()
            while (await client.call_tool("get_version", {})).structured_content != {"result": version}:
                pass
            times.append((time.perf_counter() - began) * 1e3)
            await anyio.sleep(0.1)  # editors take longer
    return times


if __name__ == "__main__":
    show(measure())
