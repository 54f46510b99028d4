"""K8: a rollout in a process of its own, beside the bare limit: fork, exit and wait, with the kernel loaded.

Beside it too: a forked child that runs an event loop with a scenario's generator and a tool, asked over a socket, with
nothing of ours around it. `measure` gives wall time too, of rollouts one after the other.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from letters import Row, show

from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_local.process.backend import ProcessBackend

ENVIRONMENT = """
from hud_core.environment.environment import Environment

env = Environment("letter-counter")


@env.tool
async def count_letter(text: str, letter: str) -> int:
    return text.count(letter)


@env.tool
def count_letter_in_thread(text: str, letter: str) -> int:
    return text.count(letter)


@env.scenario()
async def count(word: str, letter: str):
    answer = yield f"How many {letter} are in {word}?"
    yield float(answer == str(word.count(letter)))
"""


class Clock:
    """Wall time, and CPU of this process and of those of its descendants that have been waited for."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = _cpu()

    def per(self, count: int) -> tuple[float, float]:
        """Give wall and CPU milliseconds since the beginning, per rollout."""
        return (time.perf_counter() - self._wall) / count * 1e3, (_cpu() - self._cpu) / count * 1e3


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(rollouts: int = 200) -> dict[str, float]:
    """Measure the limit and the backend, side by side; each wall time is of one rollout after the other."""
    limit_wall, limit_cpu = _limit("nothing", rollouts)
    loop_wall, loop_cpu = _limit("loop", rollouts)
    results = {"limit_ms": limit_wall, "limit_cpu_ms": limit_cpu, "loop_ms": loop_wall, "loop_cpu_ms": loop_cpu}
    for name, tool in (("ours", "count_letter"), ("ours_thread", "count_letter_in_thread")):
        wall, cpu = _ours(rollouts, tool)
        results |= {f"{name}_ms": wall, f"{name}_cpu_ms": cpu}
    results["ratio"] = results["ours_ms"] / limit_wall
    results["cpu_ratio"] = results["ours_cpu_ms"] / limit_cpu
    return {name: round(value, 3) for name, value in results.items()}


def _limit(what: str, rollouts: int) -> tuple[float, float]:
    """Measure in a fresh process, which holds no more than a fork server does."""
    code = f"import process_rollouts as p; import hud_local.process.server; p.print_limit({what!r}, {rollouts})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    output = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout
    wall, cpu = json.loads(output)
    return wall, cpu


def print_limit(what: str, rollouts: int) -> None:
    """Fork a child and wait for its end, again and again; print wall and CPU milliseconds of one."""
    fork = {"nothing": _fork_nothing, "loop": _fork_loop}[what]
    fork()
    gc.collect()
    gc.freeze()
    clock = Clock()
    for _ in range(rollouts):
        fork()
    sys.stdout.write(json.dumps(clock.per(rollouts)))


def _fork_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _fork_loop() -> None:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        asyncio.new_event_loop().run_until_complete(_serve(theirs))
        os._exit(0)
    for _ in range(4):
        ours.send(b"?")
        ours.recv(1)
    os.waitpid(pid, 0)
    ours.close()
    theirs.close()


async def _serve(connection: socket.socket) -> None:
    """Set a scenario up, call a tool, grade and close: one request each."""

    async def scenario(word: str, letter: str):
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    async def tool(text: str, letter: str) -> int:
        return text.count(letter)

    connection.setblocking(False)
    loop, generator = asyncio.get_running_loop(), scenario("strawberry", "r")
    for step in (
        lambda: generator.asend(None),
        lambda: tool("strawberry", "r"),
        lambda: generator.asend("3"),
        generator.aclose,
    ):
        await loop.sock_recv(connection, 1)
        await step()
        await loop.sock_sendall(connection, b"!")


def _ours(rollouts: int, tool: str) -> tuple[float, float]:
    """Run rollouts one after the other. The server's CPU counts when it is closed; its start is taken off again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "env.py")
        file.write_text(ENVIRONMENT, "utf-8")
        ref = EnvRef("letter-counter", "process", {"file": str(file)})
        start = anyio.run(_run, ref, 1, tool)
        wall, cpu = anyio.run(_run, ref, rollouts + 1, tool)
    return wall / rollouts, (cpu - start[1]) / rollouts


async def _run(ref: EnvRef, rollouts: int, tool: str) -> tuple[float, float]:
    """Run one rollout that starts the server, then the others; give the wall time of those, and the CPU of all."""
    backend = ProcessBackend()
    cpu = Clock()
    await _rollout(backend, ref, tool)
    clock = Clock()
    for _ in range(rollouts - 1):
        await _rollout(backend, ref, tool)
    wall, _ = clock.per(1)
    await backend.aclose()
    return wall, cpu.per(1)[1]


async def _rollout(backend: ProcessBackend, ref: EnvRef, tool: str) -> None:
    async with backend.open(ref) as session:
        await session.setup("count", {"word": "strawberry", "letter": "r"})
        result = await session.call_tool(tool, text="strawberry", letter="r")
        await session.grade(Answer(text=result.text))


def rows() -> list[Row]:
    """Give the rows of the table; CPU, of the job's process, the server's and the children's together."""
    best = min((measure() for _ in range(3)), key=lambda result: result["ours_cpu_ms"])
    limit = best["limit_cpu_ms"]
    return [
        Row("K8", "CPU of a rollout in a process of its own, warm", best["ours_cpu_ms"], "ms", 6, limit),
        Row("K8", "the same, with a tool that needs a thread", best["ours_thread_cpu_ms"], "ms", 6, limit),
        Row("K8", "CPU of the first against a bare fork", best["cpu_ratio"], "x", 2),
        Row("K8", "a child with an event loop and the scenario alone, likewise", best["loop_cpu_ms"] / limit, "x"),
    ]


if __name__ == "__main__":
    show(rows())
