"""K1, K2, K9, K10: in-process rollouts, their memory, and one tool call."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import anyio
import msgspec
from letters import Counter, Row, count, cpu, env, show, tasks

from hud_core import (
    Agent,
    Answer,
    Evaluation,
    JobControl,
    Kernel,
    Message,
    Prompt,
    TextContent,
    ToolCall,
    ToolResult,
    run,
)
from hud_core.environment.session import Toolbox
from hud_core.model.events import Answered, Graded, Prompted, ToolCalled, ToolReturned
from hud_core.trace import Recorder


def kernel() -> Kernel:
    """The real in-process backend, and nothing else that is installed."""
    import hud_local

    return Kernel(autoload=False, plugins=[hud_local], strict=True)


def rollouts(number: int, at_once: int) -> float:
    """CPU microseconds of a rollout, with the run directory on."""
    work, engine = tasks(number), kernel()

    def job() -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = anyio.run(
                lambda: run(work, Counter(), kernel=engine, max_concurrent=at_once, directory=Path(folder) / "run")
            )
            assert done.reward == 1.0

    return cpu(job, number)


def bare(number: int, at_once: int = 100) -> float:
    """The same work with nothing around it: a generator, the records, JSON lines, a fixed set of workers."""
    encode = msgspec.json.Encoder().encode_lines

    async def one(file: int, name: str) -> None:
        generator = count.function("strawberry", "r")
        text = await generator.asend(None)
        call = ToolCall("count_letter", {"text": "strawberry", "letter": "r"})
        result = ToolResult(content=(TextContent(text=str("strawberry".count("r"))),))
        answer = Answer(text=result.text)
        evaluation = Evaluation(reward=await generator.asend(answer.text))
        await generator.aclose()
        now = time.time()
        prompt = Prompt(messages=(Message(content=(TextContent(text=text),)),))
        events = [
            Prompted(rollout=name, prompt=prompt, time=now),
            ToolCalled(rollout=name, call=call, time=now),
            ToolReturned(rollout=name, name=call.name, result=result, time=now),
            Answered(rollout=name, answer=answer, time=now),
            Graded(rollout=name, evaluation=evaluation, time=now),
        ]
        os.write(file, encode(events))

    async def job(file: int) -> None:
        units = iter(range(number))

        async def worker() -> None:
            for unit in units:
                await asyncio.sleep(0)
                await one(file, str(unit))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())

    def whole() -> None:
        with tempfile.TemporaryFile() as file:
            asyncio.run(job(file.fileno()))

    return cpu(whole, number)


class Waiter(Agent):
    """Waits until it is told to answer."""

    name = "waiter"

    def __init__(self) -> None:
        self.go = anyio.Event()

    async def run(self, prompt, toolbox, *, max_steps):
        await self.go.wait()
        return "3"


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(number: int) -> float:
    """Kilobytes of one of `number` live rollouts that wait for their agent, with the run directory on."""

    async def measure() -> float:
        agent, control, work = Waiter(), JobControl(), tasks(number)
        with tempfile.TemporaryDirectory() as folder:
            await run(work[:1], Counter(), kernel=kernel(), directory=Path(folder) / "warm")
            gc.collect()
            before = resident()
            async with anyio.create_task_group() as group:

                async def job() -> None:
                    await run(
                        work,
                        agent,
                        kernel=kernel(),
                        max_concurrent=number,
                        directory=Path(folder) / "run",
                        control=control,
                    )

                group.start_soon(job)
                while control.progress.running < number:
                    await anyio.sleep(0.05)
                await anyio.sleep(1.5)  # until their events are in the run directory
                gc.collect()
                used = (resident() - before) / number / 1000
                agent.go.set()
        return used

    return anyio.run(measure)


def bare_memory(number: int) -> float:
    """Kilobytes of one of `number` anyio tasks that wait for an event and do nothing else."""

    async def measure() -> float:
        go, running = anyio.Event(), 0

        async def wait() -> None:
            nonlocal running
            running += 1
            await go.wait()

        gc.collect()
        before = resident()
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(wait)
            while running < number:
                await anyio.sleep(0.05)
            gc.collect()
            used = (resident() - before) / number / 1000
            go.set()
        return used

    return anyio.run(measure)


def tool_call(number: int = 20_000) -> float:
    """CPU microseconds of one tool call, from the agent's side to the function and back, validated and recorded."""

    async def measure() -> float:
        recorder = Recorder("x")
        async with kernel().backends.create("local").open(env) as session:
            toolbox = Toolbox(session.tools, None, recorder.observe)
            started = time.process_time()
            for _ in range(number):
                await toolbox.call_tool("count_letter", text="strawberry", letter="r")
            return (time.process_time() - started) / number * 1e6

    return min(anyio.run(measure) for _ in range(3))


def measure() -> list[Row]:
    """Measure every row of this module."""
    if len(sys.argv) > 1:  # memory is measured in a process of its own
        print({"ours": memory, "bare": bare_memory}[sys.argv[1]](int(sys.argv[2])))
        sys.exit()
    import subprocess

    def memory_of(what: str, number: int) -> float:
        return float(subprocess.check_output([sys.executable, __file__, what, str(number)]))

    def memory_row(number: int, name: str) -> Row:
        task = memory_of("bare", number)
        what = f"memory of a live rollout beside a task that only waits, {name} live"
        return Row("K2", what, memory_of("ours", number), "KB", 6, task)

    limit, many = bare(10_000), rollouts(10_000, 100)
    return [
        Row("K1", "CPU of an in-process rollout, 1,000 tasks, 100 at once", rollouts(1_000, 100), "us", 60, limit),
        Row("K1", "CPU of an in-process rollout, 10,000 tasks, 100 at once", many, "us", 60, limit),
        memory_row(1_000, "1,000"),
        memory_row(10_000, "10,000"),
        Row("K9", "CPU of a rollout, 10,000 at once against 100 at once", rollouts(10_000, 10_000) / many, "x", 1.3),
        Row("K10", "one tool call in process", tool_call(), "us", 10),
    ]


if __name__ == "__main__":
    show(measure())
