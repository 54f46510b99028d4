"""The workload of every benchmark: the letter counter. One scenario, one tool call, one answer, one grade."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from hud_core import Agent, Environment

env = Environment("letters")


@env.tool
async def count_letter(text: str, letter: str) -> int:
    """Count how often a letter occurs in a text."""
    return text.count(letter)


@env.scenario()
async def count(text: str, letter: str):
    answer = yield f"How many {letter} are in {text}?"
    yield float(answer == str(text.count(letter)))


class Counter(Agent):
    """Solves the task with one tool call."""

    name = "counter"

    async def run(self, prompt, toolbox, *, max_steps):
        result = await toolbox.call_tool("count_letter", text="strawberry", letter="r")
        return result.text


def tasks(number: int):
    """Make tasks with a slug each."""
    made = []
    for index in range(number):
        task = count.task("strawberry", "r")
        task.slug = f"strawberry-{index}"
        made.append(task)
    return made


class Row(NamedTuple):
    """One line of the table."""

    row: str
    what: str
    ours: float
    unit: str
    budget: float | None = None
    limit: float | None = None
    """What a bare loop that does the same work with nothing around it takes, measured in the same run."""
    bare: float | None = None
    """What the vendor's SDK takes to send the same requests, written beforehand, and to give answers nobody reads."""


def cpu(work: Callable[[], object], number: int, repeats: int = 3) -> float:
    """Give the CPU microseconds of one of `number` pieces of work: the best of some repeats."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best / number * 1e6


async def in_turns(*attempts: Callable[[], Awaitable[object]], repeats: int = 4) -> list[float]:
    """Give the CPU milliseconds of each of some attempts, the best of some repeats; a busy machine disturbs all alike.

    What runs in other threads, such as an endpoint, does not count.
    """
    best = [float("inf")] * len(attempts)
    for _ in range(repeats):
        for place, attempt in enumerate(attempts):
            await attempt()  # imports, connects, and warms the processor's caches
            gc.collect()
            for _ in range(3):
                began = time.thread_time()
                await attempt()
                best[place] = min(best[place], (time.thread_time() - began) * 1e3)
    return best


def command_cpu(command: list[str], repeats: int = 15, **environment: str) -> float:
    """Give the CPU milliseconds of a whole process and its children: the best of some repeats."""
    best = float("inf")
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    for _ in range(repeats):
        pid = os.posix_spawn(command[0], command, {**os.environ, **environment}, file_actions=quiet)
        _, status, used = os.wait4(pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} ended with status {status}")
        best = min(best, used.ru_utime + used.ru_stime)
    return best * 1e3


def show(rows: list[Row]) -> None:
    """Hand rows to `run.py`, or to whoever runs one module alone."""
    print(json.dumps([row._asdict() for row in rows]))
