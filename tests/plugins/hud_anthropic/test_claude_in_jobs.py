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

import hud_anthropic
import hud_local
from hud_anthropic import ClaudeAgent
from hud_core import AgentAnswer, Cause, Environment, Kernel, StopReason, evaluate, run

Endpoint = Callable[..., Any]
KEY = "sk-ant-planted"


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


@env.scenario(returns=Point, enable_citations=True)
async def where() -> AsyncGenerator[str | float, AgentAnswer[Point]]:
    answer = yield "Where is it?"
    yield float(answer.content == Point(3, 4) and answer.citations[0].text == "at 3, 4")


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_local, hud_anthropic], autoload=False)


async def test_a_rollout_that_one_opens_oneself(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"})), stub.say("3"))
    agent = ClaudeAgent.create(base_url=server.url, api_key=KEY)
    async with agent, evaluate(count.task(word="strawberry", letter="r"), kernel=kernel) as ctx:
        result = await agent.run(ctx)
    assert result.reward == ctx.reward == 1.0


async def test_a_typed_answer_with_citations_is_graded(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    cited = {"type": "char_location", "cited_text": "at 3, 4", "document_index": 0}
    server = endpoint(stub.message(stub.text('{"x": 3, "y": 4}', cited)))
    options = {"base_url": server.url, "api_key": KEY}
    job = await run(where.task(), "claude", agent_options=options, kernel=kernel, save=False)
    assert job.reward == 1.0


async def test_how_rollouts_end(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    too_long = stub.fail(400, "prompt is too long: 9 tokens > 8 maximum", "invalid_request_error")
    cases = [
        (stub.say("3"), 1.0, StopReason.ANSWERED, None),
        (stub.say("3", stop="max_tokens"), 1.0, StopReason.TRUNCATED, None),
        (stub.say("", stop="refusal"), 0.0, StopReason.REFUSED, None),
        (stub.message(), 0.0, StopReason.EMPTY, None),
        (too_long, 0.0, StopReason.CONTEXT_OVERFLOW, None),
        (stub.fail(401, "bad key", "authentication_error"), None, None, Cause.PROVIDER),
        (stub.fail(404, "no such model", "not_found_error"), None, None, Cause.PROVIDER),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with ClaudeAgent.create(base_url=server.url, api_key=KEY) as agent:
        for _, reward, stop, cause in cases:
            rollout = await count.task(word="strawberry", letter="r").run(agent, kernel=kernel)
            assert (rollout.reward, rollout.stop_reason, rollout.cause) == (reward, stop, cause)
    assert len(server.requests) == len(cases)


async def test_no_file_of_a_run_holds_a_secret(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel, tmp_path: Path
) -> None:
    server = endpoint(stub.say("3"), stub.fail(401, f"invalid x-api-key: {KEY}", "authentication_error"))
    tasks = [count.task(word="strawberry", letter="r"), count.task(word="sun", letter="r")]
    options = {"base_url": server.url, "api_key": KEY, "extra_headers": {"x-tenant": "sk-ant-planted-header"}}
    job = await run(tasks, "claude", agent_options=options, kernel=kernel, max_concurrent=1, directory=tmp_path / "run")
    assert [rollout.is_scored for rollout in job] == [True, False]
    assert server.requests[0].headers["x-tenant"] == "sk-ant-planted-header"
    written = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert written
    assert not [path for path, content in written.items() if b"sk-ant-planted" in content]
    assert "sk-ant-planted" not in repr(job.rollouts)


TASKS = """
from hud import Environment

env = Environment("letters")

@env.scenario()
async def count(word, letter):
    answer = yield f"How many {letter} are in {word}?"
    yield float(answer == str(word.count(letter)))

task = count.task(word="strawberry", letter="r")
"""


@pytest.mark.slow
def test_a_job_from_the_command_line(endpoint: Endpoint, stub: ModuleType, tmp_path: Path) -> None:
    server = endpoint(stub.say("3"))
    (tmp_path / "tasks.py").write_text(TASKS)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
    words = ["eval", "tasks.py", "claude", "-m", "claude-opus-4-5", "-c", "thinking=2048", "-c", "betas=x,y", "-y"]
    done = subprocess.run(
        [sys.executable, "-m", "hud", *words],
        env={**outside, "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY, "NO_COLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [body] = server.bodies
    assert body["model"] == "claude-opus-4-5"
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert KEY not in done.stdout + done.stderr
