"""L2: rows of old datasets through the source that users go through, as JSONL and as Parquet; nothing is kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from letters import Row, show

from hud_core import Kernel
from hud_huggingface.parquet import write_rows

FEW, MANY = 10_000, 50_000


def row(number: int) -> dict[str, object]:
    """Make a row as datasets of hud-python have them."""
    headers = {"Authorization": "Bearer ${HUD_API_KEY}", "Mcp-Image": "hudpython/hud-browser:latest"}
    return {
        "id": f"task-{number}",
        "prompt": f"Open page {number}, read the table, and say what its last row is.",
        "mcp_config": {"browser": {"url": "${HUD_MCP_URL:https://mcp.hud.ai/v3/mcp}", "headers": headers}},
        "setup_tool": {"name": "setup", "arguments": {"page": number}},
        "evaluate_tool": {"name": "evaluate", "arguments": {"page": number}},
    }


def write(path: Path, number: int) -> None:
    """Write rows, in the form that the path's end says."""
    rows = [row(index) for index in range(number)]
    if path.suffix == ".parquet":
        write_rows(rows, path)
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))


def stream(path: str) -> None:
    """Read a file, and keep nothing."""

    async def read() -> None:
        async for _ in Kernel().source_for(path).load(path):
            pass

    anyio.run(read)


def megabytes(name: str) -> float:
    """Give what /proc says of this process: memory in use (VmRSS), or the most that it ever was (VmHWM)."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


def child(small: str, path: str) -> None:
    """Read a small file, which imports everything, then another one, and print what that took."""
    stream(small)
    before, started = megabytes("VmRSS"), time.process_time()
    stream(path)
    print(
        json.dumps(
            {"peak": megabytes("VmHWM"), "more": megabytes("VmHWM") - before, "cpu": time.process_time() - started}
        )
    )


def measured(small: Path, path: Path) -> dict[str, float]:
    """Read a file in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, str(small), str(path)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure() -> list[Row]:
    """Measure every row of this module."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("jsonl", "parquet"):
            small, few, many = (Path(folder, f"{name}.{suffix}") for name in ("small", "few", "many"))
            for path, number in ((small, 10), (few, FEW), (many, MANY)):
                write(path, number)
            less, more = measured(small, few), measured(small, many)
            rows += [
                Row("L2", f"memory that streaming {MANY:,} {suffix} rows takes", more["more"], "MB", 100),
                Row(
                    "L2",
                    f"of that, for the {MANY - FEW:,} rows more than {FEW:,}",
                    more["peak"] - less["peak"],
                    "MB",
                    5,
                ),
                Row("L2", "the whole process, with its imports", more["peak"], "MB", 100),
                Row("L2", "a row checked, then read: its CPU", more["cpu"] / MANY * 1e6, "us"),
            ]
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.modules["numpy"] = None  # type: ignore[assignment]  # pyarrow takes it where others brought it: 14 MB
        child(*sys.argv[1:])
    else:
        show(measure())
