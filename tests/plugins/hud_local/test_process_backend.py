"""The backend `process`: what a rollout in a process of its own can do, and what it cannot do to others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import ArgumentError, ConfigError, GraderError, SetupError, ToolError, describe
from hud_core.interfaces import Session
from hud_core.model.content import ImageContent
from hud_core.model.evaluation import Answer
from hud_core.model.events import LogLine
from hud_core.model.task import EnvRef
from hud_core.trace import Recorder, current_recorder
from hud_local.process import frames
from hud_local.process.backend import ProcessBackend
from hud_local.process.messages import encode

if TYPE_CHECKING:
    from conftest import Write

ENV = '''
    import asyncio
    import os
    import random
    import sys
    import threading
    import time
    from pathlib import Path

    from hud_core.environment.environment import Environment
    from hud_core.model.content import ImageContent

    env = Environment("letters")
    SEEN = []

    @env.initialize
    def begin():
        SEEN.append("initialize")

    @env.shutdown
    async def end():
        if marks := os.environ.get("MARKS"):
            Path(marks, "shutdown").touch()

    @env.tool
    def see(what: str) -> list:
        SEEN.append(what)
        return SEEN

    @env.tool(blocking=False)
    def pid() -> int:
        return os.getpid()

    @env.tool
    def image(size: int) -> ImageContent:
        return ImageContent(data="A" * size)

    @env.tool
    async def meet(name: str, other: str) -> str:
        """Return when both are there: only calls that run at once ever do."""
        SEEN.append(name)
        while other not in SEEN:
            await asyncio.sleep(0.001)
        return name

    @env.tool
    async def linger(mark: str) -> str:
        SEEN.append("began")
        try:
            await asyncio.sleep(600)
        finally:
            SEEN.append(mark)
        return "too late"

    @env.tool
    def loud() -> None:
        print("out 1")
        print("err 1", file=sys.stderr)
        os.system("echo from a shell")
        print("no newline", end="", flush=True)

    @env.tool(blocking=False)
    def draw() -> float:
        return random.random()

    @env.tool(blocking=False)
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    @env.scenario()
    async def count(word: str, letter: str = "r"):
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    @env.scenario()
    async def through_a_tool():
        result = await env.call_tool("see", what="scenario")
        yield f"Say {result.text}"
        yield len(SEEN) / 10

    @env.scenario()
    async def broken():
        raise KeyError("in setup")
        yield ""

    @env.scenario()
    async def broken_grading():
        yield "go"
        raise KeyError("in grading")

    @env.scenario()
    async def slow(marks: str, sync: bool = False):
        try:
            Path(marks, "began").touch()
            time.sleep(600) if sync else await asyncio.sleep(600)
            yield "never"
        finally:
            await asyncio.sleep(0.01)
            Path(marks, "cleaned").touch()

    @env.scenario()
    async def careful(marks: str):
        try:
            yield "go"
            yield 1.0
        finally:
            await asyncio.sleep(0.01)
            Path(marks, "cleaned").touch()
'''


@pytest.fixture
async def backend() -> AsyncIterator[ProcessBackend]:
    backend = ProcessBackend(grace=60)
    yield backend
    await backend.aclose()


@pytest.fixture
def file(write: Write) -> Path:
    return write("env.py", ENV)


@pytest.fixture
def ref(file: Path) -> EnvRef:
    return EnvRef("letters", "process", {"file": str(file)})


@pytest.fixture
async def session(backend: ProcessBackend, ref: EnvRef) -> AsyncIterator[Session]:
    async with backend.open(ref) as session:
        yield session


async def text_of(session: Session, tool: str, **arguments: object) -> str:
    result = await session.call_tool(tool, **arguments)
    assert not result.is_error, result.text
    return result.text


async def until_seen(session: Session, what: str) -> None:
    with anyio.fail_after(60):
        while what not in await text_of(session, "see", what="-"):
            await anyio.sleep(0.005)


# --- isolation --------------------------------------------------------------------------------------------------------


async def test_twenty_rollouts_share_neither_process_nor_module_state(backend: ProcessBackend, ref: EnvRef) -> None:
    pids = set()
    for number in range(20):
        async with backend.open(ref) as session:
            assert json.loads(await text_of(session, "see", what=str(number))) == ["initialize", str(number)]
            pids.add(await text_of(session, "pid"))
    assert len(pids) == 20
    assert str(os.getpid()) not in pids


async def test_fifty_sessions_at_once(backend: ProcessBackend, ref: EnvRef) -> None:
    rewards = []
    everybody = anyio.Event()
    present = 0

    async def attempt(number: int) -> None:
        nonlocal present
        async with backend.open(ref) as session:
            await session.setup("count", {"word": "r" * number})
            present += 1
            if present == 50:
                everybody.set()
            await everybody.wait()
            assert json.loads(await text_of(session, "see", what="x")) == ["initialize", "x"]
            rewards.append((await session.grade(Answer(text=str(number)))).reward)

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(attempt, number)
    assert rewards == [1.0] * 50


async def test_a_seed_makes_random_numbers_repeat_and_none_makes_them_differ(
    backend: ProcessBackend, ref: EnvRef
) -> None:
    drawn = []
    for seed in (7, 7, None, None):
        async with backend.open(ref, seed=seed) as session:
            drawn.append(await text_of(session, "draw"))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


async def test_parallel_calls_of_one_session_run_at_once(session: Session) -> None:
    names = []

    async def meet(name: str, other: str) -> None:
        names.append(await text_of(session, "meet", name=name, other=other))

    async with anyio.create_task_group() as group:
        for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
            group.start_soon(meet, name, other)
    assert sorted(names) == ["a", "b", "c"]


async def test_a_cancelled_call_ends_in_the_child_and_the_session_goes_on(session: Session) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(partial(text_of, session, "linger", mark="cancelled"))
        await until_seen(session, "began")
        group.cancel_scope.cancel()
    await until_seen(session, "cancelled")


@pytest.mark.parametrize(
    ("method", "payload"), [("setup", ("count", {"word": "rr"})), ("grade", Answer(text="1")), ("close", None)]
)
async def test_what_agents_hold_cannot_set_up_grade_or_close(session: Session, method: str, payload: object) -> None:
    await session.setup("count", {"word": "r"})
    with pytest.raises(ToolError, match=f"{method!r} is not for agents"):
        await session.tools._link.ask(method, encode(payload))
    assert (await session.grade(Answer(text="1"))).reward == 1.0


# --- data -------------------------------------------------------------------------------------------------------------


async def test_large_results_and_arguments_arrive(session: Session) -> None:
    result = await session.call_tool("image", size=8_000_000)
    assert result.content == (ImageContent(data="A" * 8_000_000),)
    seen = await session.call_tool("see", what="B" * 8_000_000)
    assert seen.structured_content == {"result": ["initialize", "B" * 8_000_000]}


async def test_a_result_that_is_too_large_is_the_agents_to_read(session: Session) -> None:
    result = await session.call_tool("image", size=frames.MAX_FRAME + 1)
    assert result.is_error
    assert "too large" in result.text
    assert (await session.call_tool("see", what="x" * (frames.MAX_FRAME + 1))).is_error
    assert await text_of(session, "see", what="still there")


async def test_integers_of_any_size_arrive(session: Session) -> None:
    result = await session.call_tool("factorial", n=30)
    assert result.structured_content == {"result": 265252859812191058636308480000000}


async def test_scenario_code_reaches_the_tools_of_its_own_session(session: Session) -> None:
    prompt = await session.setup("through_a_tool", {})
    assert prompt.text == 'Say ["initialize","scenario"]'
    assert (await session.grade(Answer())).reward == 0.2


async def test_what_a_child_prints_is_in_the_rollouts_record(backend: ProcessBackend, ref: EnvRef) -> None:
    recorder = Recorder("rollout")
    token = current_recorder.set(recorder)
    try:
        async with backend.open(ref) as session:
            await session.call_tool("loud")
    finally:
        current_recorder.reset(token)
    lines = [event.text for event in recorder.pending if isinstance(event, LogLine)]
    assert lines == ["out 1", "err 1", "from a shell", "no newline"]


async def test_what_a_child_prints_outside_a_job_is_on_standard_error(
    session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    await session.call_tool("loud")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "out 1\nerr 1\nfrom a shell\n"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "args"),
    [("count", {}), ("count", {"word": 3}), ("count", {"word": "r", "lettre": "r", "n": 1}), ("nope", {})],
)
async def test_wrong_arguments_are_the_same_error_as_in_process(
    session: Session, file: Path, scenario: str, args: dict[str, Any]
) -> None:
    environment: dict[str, Environment] = {}
    exec(compile(file.read_text(), str(file), "exec"), environment)
    with pytest.raises((ArgumentError, SetupError)) as local:
        await environment["env"].session().setup(scenario, args)
    with pytest.raises((ArgumentError, SetupError)) as remote:
        await session.setup(scenario, args)
    assert type(remote.value) is type(local.value)
    assert str(remote.value) == str(local.value)
    assert getattr(remote.value, "problems", None) == getattr(local.value, "problems", None)


async def test_an_exception_in_a_scenario_names_its_line(session: Session, file: Path) -> None:
    line = 1 + file.read_text().splitlines().index('    raise KeyError("in setup")')
    with pytest.raises(SetupError) as caught:
        await session.setup("broken", {})
    assert describe(caught.value) == f"KeyError: 'in setup' ({file}:{line})"
    await session.setup("broken_grading", {})
    with pytest.raises(GraderError, match=r"KeyError: 'in grading' \(.*env.py:\d+\)"):
        await session.grade(Answer())


async def test_an_argument_that_is_no_data_is_refused(session: Session) -> None:
    with pytest.raises(ArgumentError, match="not JSON data"):
        await session.setup("count", {"word": object()})
    result = await session.call_tool("see", what=object())
    assert result.is_error


# --- the life of a session --------------------------------------------------------------------------------------------


async def test_teardown_runs_when_a_rollout_ends(
    backend: ProcessBackend, ref: EnvRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKS", str(tmp_path))
    async with backend.open(ref) as session:
        await session.setup("careful", {"marks": str(tmp_path)})
    assert (tmp_path / "cleaned").exists()
    assert (tmp_path / "shutdown").exists()


async def test_teardown_runs_when_a_rollout_is_cancelled_in_setup(
    backend: ProcessBackend, ref: EnvRef, tmp_path: Path
) -> None:
    async with anyio.create_task_group() as group:

        async def attempt() -> None:
            async with backend.open(ref) as session:
                await session.setup("slow", {"marks": str(tmp_path)})

        group.start_soon(attempt)
        while not (tmp_path / "began").exists():
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize(("hook", "phase"), [("initialize", "setup"), ("shutdown", "close")])
async def test_a_hook_that_fails_is_a_setup_error(backend: ProcessBackend, write: Write, hook: str, phase: str) -> None:
    text = f"""
        from hud_core.environment.environment import Environment

        env = Environment("letters")

        @env.{hook}
        def fail():
            raise OSError("no database")

        @env.scenario()
        async def ask():
            yield "go"
            yield 1
    """
    ref = EnvRef("letters", None, {"file": str(write("env.py", text))})
    entered = []
    with pytest.raises(SetupError, match=r"OSError: no database \(.*env.py:7\)"):  # noqa: PT012  the close may raise
        async with backend.open(ref) as session:
            await session.setup("ask", {})
            entered.append(await session.grade(Answer()))
    assert bool(entered) == (phase == "close")


# --- where environments are declared ----------------------------------------------------------------------------------


def run(script: Path, *options: str) -> str:
    command = [sys.executable, *options] if options else [sys.executable, str(script)]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, cwd=script.parent, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MAIN = """
    import anyio

    from hud_core.environment.environment import Environment
    from hud_core.model.evaluation import Answer
    from hud_local.process.backend import ProcessBackend

    env = Environment("letters")
    print("imported as", __name__)

    @env.scenario()
    async def count(word: str):
        answer = yield word
        yield answer == "3" and __name__ != "__main__"

    async def main():
        backend = ProcessBackend()
        async with backend.open(env) as session:
            await session.setup("count", {"word": "strawberry"})
            print((await session.grade(Answer(text="3"))).reward)
        await backend.aclose()

    if __name__ == "__main__":
        anyio.run(main)
"""


def test_a_script_opens_its_own_environment(write: Write) -> None:
    assert run(write("script.py", MAIN)) == "imported as __main__\n1.0\n"


def test_a_module_of_a_package_that_is_run_opens_its_own_environment(write: Write) -> None:
    write("package/__init__.py", "")
    module = write("package/module.py", MAIN.replace("Environment\n", "Environment\n    from . import other\n", 1))
    write("package/other.py", "")
    assert run(module.parent, "-m", "package.module") == "imported as __main__\n1.0\n"


async def test_an_environment_and_its_scenarios_in_several_modules(
    backend: ProcessBackend, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("game/__init__.py", "")
    write("game/rules.py", "from hud_core.environment.environment import Environment\nenv = Environment('game')\n")
    write(
        "game/tasks.py",
        """
        from game.rules import env

        @env.scenario()
        async def play(move: str):
            answer = yield move
            yield __name__ == "game.tasks" and answer == move
        """,
    )
    monkeypatch.syspath_prepend(str(write("game/__init__.py", "").parent.parent))
    from game.tasks import env

    async with backend.open(env) as session:
        await session.setup("play", {"move": "e4"})
        assert (await session.grade(Answer(text="e4"))).reward == 1.0


async def test_a_file_that_cannot_be_imported_is_said_once_with_its_line(backend: ProcessBackend, write: Write) -> None:
    file = write("env.py", "import os\nMARK = open(__file__ + '.log', 'a').write('x')\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            async with backend.open(EnvRef("letters", None, {"file": str(file)})):
                pass
        assert f"ZeroDivisionError: division by zero ({file}:3)" in str(caught.value)
    assert file.with_name("env.py.log").read_text() == "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(:\n", r"SyntaxError: .*env.py:1\)"),
        ("raise SystemExit('no')", r"SystemExit: no"),
        ("x = 1", r"'letters' is no global variable of .*env.py.*it finds none"),
        (
            "from hud_core.environment.environment import Environment as E\na = E('letters')\nb = E('letters')\n",
            "two environments 'letters'",
        ),
    ],
)
async def test_a_file_without_the_environment_is_a_config_error(
    backend: ProcessBackend, write: Write, text: str, says: str
) -> None:
    ref = EnvRef("letters", None, {"file": str(write("env.py", text))})
    with pytest.raises(ConfigError, match=says):
        async with backend.open(ref):
            pass


@pytest.mark.parametrize(
    ("options", "says"),
    [({}, "option 'file'"), ({"file": "no/such.py"}, "no such file"), ({"file": "env.py", "flie": 1}, "'?flie'?")],
)
async def test_a_reference_without_a_file_is_a_config_error(
    backend: ProcessBackend, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        async with backend.open(EnvRef("letters", None, options)):
            pass


async def test_an_environment_in_no_file_is_a_config_error(backend: ProcessBackend) -> None:
    namespace: dict[str, Environment] = {}
    exec("from hud_core.environment.environment import Environment\nenv = Environment('letters')", namespace)
    with pytest.raises(ConfigError, match=r"declared in no file.*backend 'local'"):
        async with backend.open(namespace["env"]):
            pass


async def test_check_says_whether_the_system_can_fork(backend: ProcessBackend) -> None:
    await backend.check()
