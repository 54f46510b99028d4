"""Environments that are connected to others, in both backends: here, and in a process for each rollout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hud_core import Cause, EnvRef, Kernel, Retries, Task, run
from hud_core.testing import ScriptedAgent

FAR = """
import os
from hud_core import Environment

env = Environment("far")

@env.tool
def double(number: int) -> int:
    return 2 * number

@env.tool
def process() -> int:
    return os.getpid()

@env.scenario()
async def ask(number: int):
    answer = yield f"Double {number}."
    yield float(answer == (await env.call_tool("double", number=number)).text)
"""
NEAR = """
import os
from pathlib import Path
from hud_core import Environment, EnvRef

env = Environment("near").connect(EnvRef("far", "local", {"file": FAR}), prefix="far", exclude=EXCLUDED)

@env.shutdown
def end():
    Path(MARK).touch()

@env.tool
async def quadruple(number: int) -> int:
    return int((await env.call_tool("far_double", number=2 * number)).text)

@env.scenario()
async def ask():
    try:
        answer = yield (await env.call_tool("far_double", number=1)).text
        yield float(answer == (await env.call_tool("quadruple", number=1)).text)
    finally:
        await env.call_tool("far_double", number=0)
"""


@pytest.fixture
def near(tmp_path: Path) -> EnvRef:
    """Write an environment that is connected to another file's; give a reference to it."""
    (tmp_path / "far.py").write_text(FAR, "utf-8")
    values = {"FAR": str(tmp_path / "far.py"), "EXCLUDED": [], "MARK": str(tmp_path / "ended")}
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    (tmp_path / "near.py").write_text(head + NEAR, "utf-8")
    return EnvRef("near", None, {"file": str(tmp_path / "near.py")})


async def outcome(task: Task, agent: ScriptedAgent, backend: str) -> Any:
    limits = Retries(attempts=1)
    return (await run(task, agent, kernel=Kernel(), backend=backend, save=False, retries=limits)).rollouts[0]


@pytest.mark.parametrize("backend", ["local", "process"])
async def test_tools_and_scenarios_of_a_connection_are_reached(near: EnvRef, backend: str, tmp_path: Path) -> None:
    agent = ScriptedAgent([("far_double", {"number": 4}), ("quadruple", {"number": 4}), ("double", {"number": 1})], "4")
    rollout = await outcome(Task(env=near, scenario="ask", args={}), agent, backend)
    assert (rollout.error, rollout.reward) == (None, 1.0)
    assert [result.text for result in agent.results[:2]] == ["8", "16"]
    assert agent.results[2].is_error
    elsewhere = await outcome(
        Task(env=near, scenario="far:ask", args={"number": 3}), ScriptedAgent(answer="6"), backend
    )
    assert (elsewhere.error, elsewhere.reward) == (None, 1.0)
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("backend", ["local", "process"])
async def test_a_connection_that_cannot_be_opened_is_told(near: EnvRef, backend: str, tmp_path: Path) -> None:
    (tmp_path / "far.py").unlink()
    rollout = await outcome(Task(env=near, scenario="ask", args={}), ScriptedAgent(), backend)
    assert rollout.cause in (Cause.BACKEND, Cause.SETUP)
    assert "connection 'far' of environment 'near' cannot be opened" in rollout.error
    assert "far.py" in rollout.error
    assert (tmp_path / "ended").exists()


async def test_mocks_do_not_reach_another_process(near: EnvRef) -> None:
    kernel = Kernel()
    backend = kernel.backends.create("local")
    async with backend.open(near) as session:
        env = session.environment
    env.mock()
    rollout = await outcome(env("ask"), ScriptedAgent(), "process")
    assert "has mocked tools, in this process only; use backend 'local'" in rollout.error
    await backend.aclose()
