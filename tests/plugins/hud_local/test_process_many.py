"""Many rollouts at once, each in a process of its own: as many as there may be files, and nothing of them is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from hud_core import Agent, Kernel, Provider, Timeouts, hookimpl, run
from hud_core.model.task import EnvRef, Task
from hud_core.testing.processes import descendants, is_running
from hud_local.process.backend import ProcessBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Write

ROLLOUTS = 1000
PATIENCE = 240.0
"""Seconds for a thousand processes to begin, and to end: what they do then is the question, not how fast."""
FILES = 4 * ROLLOUTS
"""File descriptors that suffice: each rollout takes two sockets and a file in the job, and a few are the job's own."""
ENV = """
    import asyncio
    import os
    from pathlib import Path

    from hud_core.environment.environment import Environment

    env = Environment("waiting")
    log = os.open(Path(__file__).with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(what):
        os.write(log, f"{what} {os.getpid()}\\n".encode())  # one write to the end: lines of a thousand stay whole

    @env.tool
    async def wait() -> None:
        await asyncio.sleep(600)

    @env.scenario()
    async def ask():
        try:
            note("began")
            yield "go"
            yield 1.0
        finally:
            note("ended")
"""


class Patient:
    """Has the backend, with time for all to be torn down at once."""

    @staticmethod
    @hookimpl
    def hud_backends():
        yield Provider("patient", lambda: partial(ProcessBackend, grace=PATIENCE))


class Waiting(Agent):
    """Waits for good, every other one inside a tool."""

    name = "waiting"

    def __init__(self) -> None:
        self.began = 0
        self.running = 0

    async def run(self, prompt, toolbox, *, max_steps):
        self.began += 1
        self.running += 1
        try:
            if self.began % 2:
                await toolbox.call_tool("wait")
            await anyio.sleep_forever()
        finally:
            self.running -= 1


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Allow as many open files as the rollouts need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"the system allows {hard} open files, {FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def noted(log: Path, what: str) -> list[int]:
    """Give the process ids of those who noted something."""
    return [int(line.split()[1]) for line in log.read_text("utf-8").splitlines() if line.startswith(what)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.usefixtures("_many_files")
async def test_cancelling_a_thousand_rollouts_in_processes_leaves_nothing(write: Write) -> None:
    file = write("env.py", ENV)
    ref = EnvRef("waiting", "patient", {"file": str(file)})
    tasks = [Task(env=ref, scenario="ask", args={}, slug=f"ask-{index}") for index in range(ROLLOUTS)]
    agent, reached_the_end = Waiting(), False
    limits = Timeouts(open=PATIENCE, setup=PATIENCE, close=PATIENCE)
    options = {"max_concurrent": ROLLOUTS, "save": False, "timeouts": limits}
    others, before, files = {task.id for task in anyio.get_running_tasks()}, descendants(), open_files()
    async with anyio.create_task_group() as group:

        async def job() -> None:
            nonlocal reached_the_end
            await run(tasks, agent, kernel=Kernel(autoload=False, plugins=[Patient], strict=True), **options)
            reached_the_end = True

        group.start_soon(job)
        with anyio.fail_after(PATIENCE):
            while agent.running < ROLLOUTS:
                await anyio.sleep(0.05)
        children = descendants() - before
        group.cancel_scope.cancel()

    assert not reached_the_end  # cancellation goes through, it is no outcome
    assert agent.running == 0
    assert {task.id for task in anyio.get_running_tasks()} <= others
    began = noted(file.with_name("log"), "began")
    assert len(set(began)) == len(began) == ROLLOUTS
    assert sorted(noted(file.with_name("log"), "ended")) == sorted(began)  # each generator was closed, once
    assert {process.pid for process in children} > set(began)  # the fork server and its children
    assert [process for process in children if is_running(process)] == []  # nor as a zombie, nor as anybody's orphan
    assert open_files() <= files


MANY = """
    import resource
    import sys
    from contextlib import AsyncExitStack

    import anyio

    from hud_core.errors import BackendError
    from hud_core.model.task import EnvRef
    from hud_local.process.backend import ProcessBackend

    async def main():
        backend = ProcessBackend()
        ref = EnvRef("waiting", None, {"file": "env.py"})
        async with AsyncExitStack() as stack:
            await (await stack.enter_async_context(backend.open(ref))).setup("ask", {})
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
            try:
                for _ in range(40):
                    await stack.enter_async_context(backend.open(ref))
            except BackendError as error:
                print(str(error).removeprefix("cannot open environment 'waiting': "))
        async with backend.open(ref) as session:
            print((await session.setup("ask", {})).text)
        await backend.aclose()

    anyio.run(main)
"""


@pytest.mark.parametrize(
    ("hard", "error"),
    [
        (40, ["Too many open files; run fewer rollouts at once, or raise `ulimit -n`"]),
        (400, []),
    ],
)
def test_only_the_systems_own_limit_on_open_files_is_an_error(write: Write, hard: int, error: list[str]) -> None:
    write("env.py", ENV)
    script = write("job.py", MANY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", str(script), "40", str(hard)]
    done = subprocess.run(command, cwd=script.parent, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*error, "go"]
