"""A job survives being killed, at any moment and as often as it happens."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROLLOUTS = 2_000
KILLS = 20
RECORD = 500
"""Bytes that a rollout takes in the journal, about."""
TASKS = f"""
from __future__ import annotations

import os

import anyio

from hud import Environment

env = Environment("diary")


@env.scenario("note")
async def note(number: int):
    diary = os.open("diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(diary, f"{{number}}\\n".encode())
    os.close(diary)
    answer = yield f"Say {{number}}"
    await anyio.sleep(0.1)
    yield answer == str(number)


tasks = [note.task(number=number) for number in range({ROLLOUTS})]
for task in tasks:
    task.slug = f"note-{{task.args['number']}}"
    task.answer = str(task.args["number"])
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hud", "eval", *words, "--max-concurrent", "20", "-y"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def recorded(folder: Path) -> list[int]:
    """Read which rollouts are on record; every line must be whole, in both files."""
    lines = read_lines(folder / "run" / "events.jsonl")
    assert all(json.loads(line) for line in lines)
    return [json.loads(line)["task_index"] for line in read_lines(folder / "run" / "rollouts.jsonl")]


def read_lines(path: Path) -> list[str]:
    text = path.read_text("utf-8") if path.exists() else ""
    assert not text or text.endswith("\n"), f"{path.name} ends with a torn line"
    return text.splitlines()


def begun(folder: Path) -> list[int]:
    diary = folder / "diary"
    return [int(line) for line in diary.read_text("utf-8").split()] if diary.exists() else []


def size(folder: Path) -> int:
    """Count the bytes of the journal."""
    file = folder / "run" / "rollouts.jsonl"
    return file.stat().st_size if file.exists() else 0


def wait_for_a_moment(folder: Path, process: subprocess.Popen[str], moments: random.Random) -> None:
    """Wait for some time, which may end in the start-up, or until the journal has grown by some rollouts."""
    if moments.random() < 1 / 3:
        time.sleep(moments.uniform(0, 0.4))
        return
    enough = size(folder) + moments.uniform(1, 60) * RECORD
    while size(folder) < enough and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.slow
def test_a_job_that_is_killed_twenty_times_is_completed(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, "utf-8")
    moments = random.Random(20)
    words = ["tasks.py", "oracle", "--full", "--out", "run"]
    killed = 0
    finished_when_begun: list[tuple[int, set[int]]] = []  # how long the diary was, and what was on record by then
    while killed < KILLS:
        with start(tmp_path, *words) as process:
            wait_for_a_moment(tmp_path, process, moments)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.returncode == -signal.SIGKILL, "the job ended before it could be killed"
        if (tmp_path / "run" / "job.json").exists():
            words = ["--resume", "run"]
            killed += 1
        finished_when_begun.append((len(begun(tmp_path)), set(recorded(tmp_path))))
    with start(tmp_path, *words) as last:
        _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr

    records = Counter(recorded(tmp_path))
    assert records == Counter(range(ROLLOUTS)), "a rollout is lost, or on record twice"
    diary = begun(tmp_path)
    again = [set(diary[place:]) & finished for place, finished in finished_when_begun]
    assert not any(again), "a rollout that was on record was run again"
    assert 0 < len(finished_when_begun[-1][1]) < ROLLOUTS, "the kills did not fall into the job"
