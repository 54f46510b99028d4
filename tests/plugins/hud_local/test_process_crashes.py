"""Whatever happens to a child, a fork server or the job itself: the others go on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from hud_core.errors import BackendError, Cause, verdict_for
from hud_core.interfaces import Session
from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_local.process.backend import ProcessBackend

if TYPE_CHECKING:
    from conftest import Write

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

MARK = "HUD_TEST_PROCESSES_OF"
PATIENCE = 60.0

ENV = '''
    import asyncio
    import ctypes
    import os
    import signal
    import subprocess
    import sys
    import time

    from hud_core.environment.environment import Environment

    env = Environment("doomed")

    def die(how):
        if how == "segfault":
            ctypes.string_at(0)
        elif how == "exit":
            os._exit(3)
        elif how == "sys.exit":
            sys.exit(4)
        elif how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "closed":
            os.closerange(3, 100)
            time.sleep(60)
        return "alive"

    @env.tool
    def fatal(how: str) -> str:
        return die(how)

    @env.tool(blocking=False)
    def pid() -> int:
        return os.getpid()

    @env.tool
    def hang() -> None:
        time.sleep(600)

    @env.tool(blocking=False)
    def hang_everything() -> None:
        while True:
            time.sleep(1)

    @env.tool(blocking=False)
    def start(detached: bool, stubborn: bool = False) -> int:
        """Start a process that outlives a careless parent."""
        code = "import signal, time\\n"
        code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n" if stubborn else ""
        return subprocess.Popen([sys.executable, "-c", code + "time.sleep(600)"], start_new_session=detached).pid

    @env.scenario()
    async def ask(setup: str = "", grade: str = ""):
        die(setup)
        yield "go"
        die(grade)
        yield 1.0
'''

DEATHS = [
    ("segfault", "killed by SIGSEGV"),
    ("exit", "exit status 3"),
    ("kill", r"killed by SIGKILL \(out of memory\?\)"),
]


def marked(mark: str) -> set[int]:
    """Find the processes that inherited the mark, wherever they have moved to."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def children(parent: int) -> dict[int, str]:
    """Find the children of a process, zombies too, with their states."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text() if folder.name.isdigit() else ""
        except OSError:
            continue
        if stat and int((fields := stat.rpartition(")")[2].split())[1]) == parent:
            found[int(folder.name)] = fields[0]
    return found


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Mark every process that this test starts, and see to it that they are all gone at its end."""
    name = uuid.uuid4().hex
    monkeypatch.setenv(MARK, name)
    before, files = children(os.getpid()), len(list(Path("/proc/self/fd").iterdir()))
    yield name
    until(lambda: not marked(name) - {os.getpid()})
    assert children(os.getpid()).keys() <= before.keys()
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


@pytest.fixture
def ref(write: Write) -> EnvRef:
    return EnvRef("doomed", "process", {"file": str(write("env.py", ENV))})


@pytest.fixture
async def backend(mark: str, request: pytest.FixtureRequest) -> AsyncIterator[ProcessBackend]:
    backend = ProcessBackend(grace=getattr(request, "param", PATIENCE))
    yield backend
    await backend.aclose()


async def rollout(backend: ProcessBackend, ref: EnvRef, tool: str = "", setup: str = "", grade: str = "") -> float:
    async with backend.open(ref) as session:
        await session.setup("ask", {"setup": setup, "grade": grade})
        assert (await session.call_tool("fatal", how=tool)).text == "alive"
        return (await session.grade(Answer())).reward


# --- children ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["setup", "tool", "grade"])
@pytest.mark.parametrize(("how", "says"), DEATHS, ids=[how for how, _ in DEATHS])
async def test_a_child_that_dies_ends_its_rollout_and_no_other(
    backend: ProcessBackend, ref: EnvRef, phase: str, how: str, says: str
) -> None:
    method = {"tool": "call_tool"}.get(phase, phase)
    async with backend.open(ref) as sibling:
        await sibling.setup("ask", {})
        with pytest.raises(BackendError, match=f"'doomed' ended during {method}: {says}") as caught:
            await rollout(backend, ref, **{phase: how})
        assert verdict_for(caught.value, phase) == (Cause.BACKEND, True)
        assert (await sibling.grade(Answer())).reward == 1.0
    assert await rollout(backend, ref) == 1.0


async def test_a_scenario_that_exits_is_a_backend_error(backend: ProcessBackend, ref: EnvRef) -> None:
    with pytest.raises(BackendError, match="ended during setup: exit status 4"):
        await rollout(backend, ref, setup="sys.exit")


async def test_every_call_that_waits_hears_of_the_end(backend: ProcessBackend, ref: EnvRef) -> None:
    errors = []

    async def call(session: Session, tool: str, **arguments: object) -> None:
        try:
            await session.call_tool(tool, **arguments)
        except BackendError as error:
            errors.append(str(error))

    async with backend.open(ref) as session, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call, session, "hang")
        await anyio.sleep(0.05)
        group.start_soon(lambda: call(session, "fatal", how="exit"))
    assert len(errors) == 6
    assert set(errors) == {"the process of environment 'doomed' ended during call_tool: exit status 3"}


async def test_a_child_that_closes_its_sockets_is_killed(
    backend: ProcessBackend, ref: EnvRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hud_local.process.session.REPORT_SECONDS", 0.3)
    with pytest.raises(BackendError, match="it does not answer"):
        await rollout(backend, ref, tool="closed")


async def test_no_zombies_between_rollouts(backend: ProcessBackend, ref: EnvRef, mark: str) -> None:
    for how in ("", "exit", "kill"):
        try:
            await rollout(backend, ref, tool=how)
        except BackendError:
            continue
    (server,) = marked(mark) - {os.getpid()}
    assert children(server) == {}


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tool", "backend"), [("hang", PATIENCE), ("hang_everything", 0.3)], indirect=["backend"])
async def test_cancelling_a_rollout_in_a_tool_that_hangs_ends_its_process(
    backend: ProcessBackend, ref: EnvRef, mark: str, tool: str
) -> None:
    pids: list[int] = []

    async def attempt() -> None:
        async with backend.open(ref) as session:
            await session.setup("ask", {})
            pids.append(int((await session.call_tool("pid")).text))
            pids.append(int((await session.call_tool("start", detached=False)).text))
            await session.call_tool(tool)

    async with anyio.create_task_group() as group:
        group.start_soon(attempt)
        while len(pids) < 2:
            await anyio.sleep(0.005)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert pids[0] not in marked(mark)
    until(lambda: pids[1] not in marked(mark))  # killed by now; ending takes it a moment


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("detached", [False, True])
async def test_what_a_child_started_ends_with_it(
    backend: ProcessBackend, ref: EnvRef, mark: str, detached: bool, stubborn: bool
) -> None:
    async with backend.open(ref) as session:
        result = await session.call_tool("start", detached=detached, stubborn=stubborn)
        until(lambda: int(result.text) in marked(mark))  # as soon as it runs its own program
    until(lambda: int(result.text) not in marked(mark))


async def test_cancelling_fifty_rollouts_leaves_nothing(backend: ProcessBackend, ref: EnvRef, mark: str) -> None:
    began = []

    async def attempt() -> None:
        async with backend.open(ref) as session:
            await session.setup("ask", {})
            began.append(session)
            await session.call_tool("hang")

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(attempt)
        while len(began) < 50:
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    (server,) = marked(mark) - {os.getpid()}
    assert children(server) == {}


async def test_cancelling_while_the_server_starts_leaves_nothing(
    backend: ProcessBackend, write: Write, mark: str
) -> None:
    file = write("env.py", "import pathlib, time\npathlib.Path(__file__ + '.began').touch()\ntime.sleep(600)\n")

    async def attempt() -> None:
        async with backend.open(EnvRef("doomed", None, {"file": str(file)})):
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(attempt)
        while not file.with_name("env.py.began").exists():
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    assert marked(mark) == {os.getpid()} & marked(mark)


# --- servers ----------------------------------------------------------------------------------------------------------


async def test_a_server_that_is_killed_takes_its_children_along_and_is_replaced(
    backend: ProcessBackend, ref: EnvRef, mark: str
) -> None:
    with pytest.raises(BackendError, match="its fork server has gone: killed by SIGKILL"):  # noqa: PT012
        async with backend.open(ref) as session:
            await session.setup("ask", {})
            child = int((await session.call_tool("pid")).text)
            server = next(pid for pid in marked(mark) if child in children(pid))
            os.kill(server, signal.SIGKILL)
            await session.call_tool("hang")
    assert await rollout(backend, ref) == 1.0


async def test_a_server_that_dies_in_the_import_is_a_backend_error(backend: ProcessBackend, write: Write) -> None:
    file = write("env.py", "import os\nos._exit(7)\n")
    with pytest.raises(BackendError, match=r"the process that imports .*env.py ended: exit status 7"):
        async with backend.open(EnvRef("doomed", None, {"file": str(file)})):
            pass


async def test_closing_the_backend_ends_what_is_still_open(backend: ProcessBackend, ref: EnvRef, mark: str) -> None:
    with pytest.raises(BackendError):  # noqa: PT012  where it is noticed does not matter
        async with backend.open(ref) as session:
            await session.setup("ask", {})
            await backend.aclose()
            await session.grade(Answer())
            await session.call_tool("pid")


# --- the job ----------------------------------------------------------------------------------------------------------

JOB = """
    import sys
    import anyio
    from hud_core.model.task import EnvRef
    from hud_local.process.backend import ProcessBackend

    async def attempt(backend, tool):
        async with backend.open(EnvRef("doomed", None, {"file": "env.py"})) as session:
            await session.setup("ask", {})
            await session.call_tool("start", detached=True, stubborn=True)
            print("ready", flush=True)
            await session.call_tool(tool)

    async def main():
        backend = ProcessBackend()
        async with anyio.create_task_group() as group:
            for tool in ("hang", "hang_everything", "hang"):
                group.start_soon(attempt, backend, tool)

    anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_job_that_is_killed_leaves_nothing(
    mark: str, ref: EnvRef, write: Write, loop: str, number: signal.Signals
) -> None:
    script = write("job.py", JOB)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script), loop], cwd=script.parent, env=environment, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    ) as job:  # fmt: skip
        assert job.stdout is not None
        try:
            for _ in range(3):
                assert job.stdout.readline() == "ready\n"
            until(lambda: len(marked(mark) - {os.getpid()}) == 1 + 1 + 3 + 3)
            job.send_signal(number)
            job.wait(PATIENCE)
        finally:
            job.kill()
    until(lambda: not marked(mark) - {os.getpid()})
