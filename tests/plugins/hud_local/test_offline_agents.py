"""The agents that need no model, in real rollouts."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import Cause, ConfigError
from hud_core.job import run
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Rollout
from hud_core.model.task import Task
from hud_core.model.tools import ToolCall
from hud_local.scripted import ScriptedAgent

if TYPE_CHECKING:
    from conftest import Write

    from hud_core.kernel import Kernel


def door() -> Environment:
    """Make an environment that is solved by opening its door and answering with the code."""
    env = Environment("door")
    opened: list[str] = []

    @env.tool(blocking=False)
    def push(how: str) -> str:
        if how == "gently":
            raise ValueError("it is stuck")
        opened.append(how)
        return "it opens"

    @env.scenario()
    async def enter(code: str = "42") -> AsyncGenerator[Any, Any]:
        opened.clear()
        answer = yield f"Open the door, then say {code}."
        yield float(answer == code and opened == ["hard"])

    @env.scenario(returns=dict[str, int])
    async def structured() -> AsyncGenerator[Any, Any]:
        answer = yield "Answer with x = 1."
        yield float(answer.content == {"x": 1})

    return env


async def attempt(kernel: Kernel, task: Task, agent: Any, **options: Any) -> Rollout:
    job = await run([task], agent, kernel=kernel, save=False, **options)
    return job.rollouts[0]


# --- oracle and nop ---------------------------------------------------------------------------------------------------


async def test_the_oracle_makes_the_calls_and_gives_the_answer(kernel: Kernel) -> None:
    task = door()("enter")
    task.validation = [{"name": "push", "arguments": {"how": "hard"}}]
    task.answer = "42"
    assert (await attempt(kernel, task, "oracle")).reward == 1.0
    assert (await attempt(kernel, task, "nop")).reward == 0.0


async def test_the_oracle_gives_data_as_json(kernel: Kernel) -> None:
    task = door()("structured")
    task.answer = {"x": 1}
    rollout = await attempt(kernel, task, "oracle")
    assert (rollout.reward, rollout.content) == (1.0, '{"x":1}')


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ([ToolCall("push", {"how": "gently"})], "validation[0] push(how='gently') failed: "),
        ([ToolCall("push", {"how": "hard"}), ToolCall("pull")], "validation[1] pull() failed: unknown tool 'pull'"),
        (None, "give it one: task.answer = ..."),
    ],
)
async def test_a_solution_that_does_not_work_is_an_agent_error(kernel: Kernel, calls: Any, says: str) -> None:
    task = door()("enter")
    task.validation = calls
    rollout = await attempt(kernel, task, "oracle")
    assert (rollout.reward, rollout.cause) == (None, Cause.AGENT)
    assert says in str(rollout.error)


# --- scripted ---------------------------------------------------------------------------------------------------------

SCRIPT = """
    {"prompt": "say 42", "calls": [{"name": "push", "arguments": {"how": "gently"}},
                                   {"name": "push", "arguments": {"how": "hard"}}], "answer": "42"}
"""


async def test_a_script_is_played_for_its_prompt(kernel: Kernel, write: Write) -> None:
    path = write("script.jsonl", SCRIPT.replace("\n", " ") + '\n{"answer": {"x": 1}}\n')
    options = {"agent_options": {"file": str(path)}}
    env = door()
    assert (await attempt(kernel, env("enter"), "scripted", **options)).reward == 1.0
    assert (await attempt(kernel, env("structured"), "scripted", **options)).reward == 1.0
    assert (await attempt(kernel, env("enter", code="7"), "scripted", **options)).reward == 0.0


async def test_a_script_runs_out_of_steps(kernel: Kernel, write: Write) -> None:
    agent = ScriptedAgent(file=str(write("script.json", SCRIPT)))
    assert (await attempt(kernel, door()("enter"), agent, max_steps=3)).reward == 1.0
    rollout = await attempt(kernel, door()("enter"), agent, max_steps=2)
    assert (rollout.stop_reason, rollout.reward) == (StopReason.MAX_STEPS, 0.0)


async def test_a_prompt_without_script_is_an_agent_error(kernel: Kernel, write: Write) -> None:
    agent = ScriptedAgent(file=str(write("script.json", SCRIPT)))
    rollout = await attempt(kernel, door()("enter", code="7"), agent)
    assert rollout.cause is Cause.AGENT
    assert "no script is for the prompt 'Open the door, then say 7.'" in str(rollout.error)


async def test_one_answer_for_everything(kernel: Kernel) -> None:
    rollout = await attempt(kernel, door()("enter"), "scripted", agent_options={"answer": 42})
    assert rollout.content == "42"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either file=PATH or answer=TEXT"),
        ({"file": "nix.json"}, "no such file: nix.json"),
        ({"file": "bad.json"}, "not a script: "),
        ({"file": "bad.jsonl"}, "(bad.jsonl:2)"),
    ],
)
def test_wrong_scripts(
    kernel: Kernel, write: Write, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(write("bad.json", '{"cals": []}').parent)
    write("bad.jsonl", '{"answer": "1"}\n{"calls": 3}\n')
    with pytest.raises(ConfigError) as caught:
        kernel.create_agent("scripted", **options)
    assert says in str(caught.value)


# --- human ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal of the test's own behind `sys.stdin`, and the end that a person types into."""
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


async def test_a_person_calls_tools_and_answers(
    kernel: Kernel, terminal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    os.write(terminal, b'push {"how": gently}\npush {"how": "gently"}\npush {"how": "hard"}\n42\n')
    assert (await attempt(kernel, door()("enter"), "human")).reward == 1.0
    said = capsys.readouterr().err
    for part in ("Open the door, then say 42.", "push(how)", "not JSON, try again", "error: ", "it opens"):
        assert part in said


async def test_a_line_that_calls_no_tool_is_the_answer(kernel: Kernel, terminal: int) -> None:
    os.write(terminal, b'pull {"how": "hard"}\n')
    assert (await attempt(kernel, door()("enter"), "human")).content == 'pull {"how": "hard"}'


async def test_a_person_is_asked_one_task_at_a_time(kernel: Kernel, terminal: int) -> None:
    os.write(terminal, b"one\ntwo\nthree\n")
    env = door()
    job = await run([env("enter")] * 3, "human", kernel=kernel, save=False)
    assert sorted(rollout.content or "" for rollout in job) == ["one", "three", "two"]


async def test_waiting_for_a_person_can_be_cancelled(kernel: Kernel, terminal: int) -> None:
    with anyio.move_on_after(0.05) as scope:
        await attempt(kernel, door()("enter"), "human")
    assert scope.cancelled_caught


async def test_a_terminal_that_is_closed_is_an_agent_error(kernel: Kernel, terminal: int) -> None:
    os.write(terminal, b"\x04")
    rollout = await attempt(kernel, door()("enter"), "human")
    assert rollout.cause is Cause.AGENT
    assert "the terminal was closed" in str(rollout.error)


def test_without_a_terminal_there_is_nobody_to_ask(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(ConfigError, match=r"needs a terminal to ask in; use 'scripted'"):
            kernel.create_agent("human")
