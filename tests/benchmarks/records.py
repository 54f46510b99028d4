"""K5, K6 and L2: reading tasks and finished rollouts back."""

from __future__ import annotations

import gc
import json
import tempfile
import time
import tracemalloc
from pathlib import Path

import anyio
from letters import Counter, Row, cpu, show, tasks

from hud_core import Kernel, run
from hud_core.job.directory import RunDirectory, read_rollouts, read_scored

ROWS = 100_000


def write_rows(path: Path, number: int) -> None:
    """Write task rows as a user's file has them."""
    with path.open("w") as file:
        for index in range(number):
            row = {
                "env": {"name": "letters"},
                "scenario": "count",
                "slug": f"strawberry-{index}",
                "args": {"text": "strawberry", "letter": "r"},
                "validation": [{"name": "count_letter", "arguments": {"text": "strawberry", "letter": "r"}}],
                "agent_config": {"max_steps": 5},
                "columns": {"level": 1.0},
            }
            file.write(json.dumps(row) + "\n")


def load(path: Path) -> list[object]:
    """Read a file through the source that users go through."""

    async def read() -> list[object]:
        return [task async for task in Kernel().source_for(str(path)).load(str(path))]

    return anyio.run(read)


def stream(path: Path) -> int:
    """Read a file and keep nothing."""

    async def read() -> int:
        number = 0
        async for _ in Kernel().source_for(str(path)).load(str(path)):
            number += 1
        return number

    return anyio.run(read)


def task_rows(folder: Path) -> list[Row]:
    """K5 and L2."""
    path = folder / "tasks.jsonl"
    write_rows(path, ROWS)
    whole = cpu(lambda: load(path), ROWS)
    bare = cpu(lambda: [json.loads(line) for line in path.open("rb")], ROWS)
    gc.collect()
    tracemalloc.start()
    kept = load(path)
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    del kept
    million = folder / "million.jsonl"
    write_rows(million, 200_000)
    tracemalloc.start()
    stream(million)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        Row("K5", "a JSONL row to a task, validated; 100,000 rows", whole, "us", 10, bare),
        Row("K5", "memory of a task", size / 1000, "KB", 1.5),
        Row("L2", "peak memory of streaming 200,000 rows", peak / 1e6, "MB", 100),
    ]


def finished(folder: Path) -> list[Row]:
    """K6."""
    path = folder / "run"
    job = anyio.run(lambda: run(tasks(1000), Counter(), kernel=Kernel(), directory=path))
    lines = (path / "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    with (path / "rollouts.jsonl").open("wb") as file:
        for copy in range(100):
            file.writelines(line.replace(b'"id":"', f'"id":"{copy}-'.encode(), 1) for line in lines)
    started = time.process_time()
    assert len(read_scored(path)) == 100_000
    read = time.process_time() - started
    started = time.process_time()
    read_rollouts(path)
    whole = time.process_time() - started

    directory = RunDirectory.create(folder / "journal", {})
    records = list(job.rollouts)

    def keep() -> None:
        for record in records:
            directory.append_rollout(record)
        directory.sync()

    journal = cpu(keep, len(records), repeats=5)
    directory.close()
    return [
        Row("K6", "finding 100,000 finished rollouts, for a job that goes on", read, "s", 0.3),
        Row("K6", "reading all of their records", whole, "s"),
        Row("K6", "keeping the record of a rollout", journal, "us", 15),
    ]


def measure() -> list[Row]:
    """Measure every row of this module."""
    with tempfile.TemporaryDirectory() as folder:
        return [*task_rows(Path(folder)), *finished(Path(folder))]


if __name__ == "__main__":
    show(measure())
