"""A disk that fills up: the job stops with one error, what was written is readable, and the job can go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

LIMIT = 256 * 1024
TASKS = """
from __future__ import annotations

from hud import Environment

env = Environment("long")


@env.scenario("say")
async def say(number: int):
    yield f"Say {number}"
    yield {"reward": 1.0, "content": "x" * 500}


tasks = [say.task(number=number) for number in range(1_000)]
for task in tasks:
    task.slug = f"say-{task.args['number']}"
"""
LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); "
    "import hud.cli; sys.exit(hud.cli.main())"
)


class Disk(NamedTuple):
    """A place that holds little until it is enlarged."""

    path: Path
    command: list[str]
    enlarge: Callable[[], object]


def mount(path: Path, *options: str) -> bool:
    done = subprocess.run(["mount", *options, "-t", "tmpfs", "tmpfs", str(path)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A small file system, and a limit on the size of files for those who may not mount one."""
    plain = [sys.executable, "-m", "hud"]
    if request.param == "limit":
        yield Disk(tmp_path, [sys.executable, "-c", LIMITED.format(LIMIT)], lambda: None)
        return
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 or not mount(path, "-o", f"size={LIMIT}"):
        pytest.skip("only root may mount a small file system; the other case shows the same with a limit")
    try:
        yield Disk(path, plain, lambda: mount(path, "-o", "remount,size=64m"))
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def run(command: list[str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
    return subprocess.run(
        [*command, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_full_disk_stops_the_job_and_costs_nothing_else(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, "utf-8")
    directory = disk.path / "run"
    done = run(disk.command, tmp_path, "eval", "tasks.py", "nop", "--full", "--out", str(directory))
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1, done.stderr
    assert "stays readable" in done.stderr
    assert f"hud eval --resume {directory}" in done.stderr
    assert "Traceback" not in done.stderr
    before = (directory / "rollouts.jsonl").read_bytes()
    assert before.endswith(b"\n")
    kept = [json.loads(line)["id"] for line in before.splitlines()]
    assert 0 < len(kept) < 1_000

    hud = [sys.executable, "-m", "hud"]
    shown = run(hud, tmp_path, "runs", "show", str(directory), "--json")
    assert shown.returncode == 0, shown.stderr
    assert len(json.loads(shown.stdout)["rollouts"]) == len(kept)

    disk.enlarge()
    resumed = run(hud, tmp_path, "eval", "--resume", str(directory), "--json")
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    assert (result["total"], result["summary"]["scored"], result["reused"]) == (1_000, 1_000, len(kept))
    assert (directory / "rollouts.jsonl").read_bytes().startswith(before)
