from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import hud_gemini
import hud_local
from hud_core import AgentAnswer, Cause, Environment, Kernel, StopReason, run

pytestmark = pytest.mark.slow
Endpoint = Callable[..., Any]


@attrs.frozen
class Point:
    x: int
    y: int = 0


env = Environment("letters")


@env.tool
def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


@env.scenario()
async def count(word: str, letter: str) -> AsyncGenerator[str | float, str]:
    answer = yield f"How many {letter} are in {word}?"
    yield float(answer == str(word.count(letter)))


@env.scenario(returns=Point)
async def where() -> AsyncGenerator[str | float, AgentAnswer[Point]]:
    answer = yield "Where is it?"
    yield float(answer.content == Point(3, 4))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_local, hud_gemini], autoload=False)


def options_of(server: Any, **more: Any) -> dict[str, Any]:
    return {"base_url": server.url.removesuffix("/v1"), "api_key": "sk-planted-key", "max_retries": 0, **more}


async def test_a_typed_answer_is_graded_as_its_type(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    server = endpoint(stub.say('{"x": 3, "y": 4}'))
    job = await run(where.task(), "gemini", agent_options=options_of(server), kernel=kernel, save=False)
    assert job.reward == 1.0
    assert server.bodies[0]["generationConfig"]["responseJsonSchema"]["required"] == ["x"]


async def test_how_rollouts_end(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    cases = [
        (stub.say("3"), 1.0, StopReason.ANSWERED, None),
        (stub.say("3", finish="MAX_TOKENS"), 1.0, StopReason.TRUNCATED, None),
        (stub.Reply({"promptFeedback": {"blockReason": "SAFETY"}}), 0.0, StopReason.CONTENT_FILTER, None),
        (stub.fail(403, "bad key"), None, None, Cause.PROVIDER),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with hud_gemini.GeminiAgent.create(**options_of(server)) as agent:
        for _, reward, stop, cause in cases:
            rollout = await count.task(word="strawberry", letter="r").run(agent, kernel=kernel)
            assert (rollout.reward, rollout.stop_reason, rollout.cause) == (reward, stop, cause)
    assert len(server.requests) == len(cases)


async def test_no_file_of_a_run_holds_a_secret(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel, tmp_path: Path
) -> None:
    server = endpoint(stub.say("3"), stub.fail(403, "wrong: sk-planted-key"))
    tasks = [count.task(word="strawberry", letter="r"), count.task(word="sun", letter="r")]
    options = options_of(server, extra_headers={"x-team": "sk-planted-header"})
    job = await run(tasks, "gemini", agent_options=options, kernel=kernel, max_concurrent=1, directory=tmp_path / "run")
    assert [rollout.is_scored for rollout in job] == [True, False]
    assert server.requests[0].headers["x-team"] == "sk-planted-header"
    written = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert written
    assert not [path for path, content in written.items() if b"sk-planted" in content]
    assert "sk-planted" not in repr(job.rollouts)


TASKS = '''
from hud_core import Environment

env = Environment("letters")


@env.tool
def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


@env.scenario()
async def count(word: str, letter: str):
    answer = yield f"How many {letter} are in {word}?"
    yield float(answer == str(word.count(letter)))


strawberry_r = count.task(word="strawberry", letter="r")
'''


def test_a_whole_job_on_the_command_line(endpoint: Endpoint, stub: ModuleType, tmp_path: Path) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"}), text="let me"), stub.say("3"))
    (tmp_path / "tasks.py").write_text(TASKS)
    environ = {
        "GEMINI_API_KEY": "sk-planted-key",
        "GOOGLE_GEMINI_BASE_URL": server.url.removesuffix("/v1"),
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "NO_COLOR": "1",
    }
    hud = str(Path(sys.executable).with_name("hud"))
    command = [hud, "eval", "tasks.py", "gemini", "-c", "thinking_level=low", "--full", "-y"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [body["generationConfig"]["thinkingConfig"]["thinkingLevel"] for body in server.bodies] == ["LOW"] * 2
    told = server.bodies[1]["contents"][-1]["parts"][0]["functionResponse"]
    assert told == {"name": "count_letter", "response": {"output": "3"}}
    assert "1.0" in done.stdout
    assert "sk-planted" not in done.stdout + done.stderr
