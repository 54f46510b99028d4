from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import openai
import pytest

import hud_local
import hud_openai
from hud_core import AgentAnswer, Cause, Environment, Kernel, Retries, StopReason, evaluate, run
from hud_openai import OpenAIAgent, OpenAIChatAgent

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
    return Kernel(plugins=[hud_local, hud_openai], autoload=False)


async def test_a_rollout_that_one_opens_oneself(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"})), stub.say("3"))
    agent = OpenAIChatAgent.create(base_url=server.url, model="m")
    async with agent, evaluate(count.task(word="strawberry", letter="r"), kernel=kernel) as ctx:
        result = await agent.run(ctx)
    assert result.reward == ctx.reward == 1.0


async def test_an_agent_runs_a_task_as_a_task_is_run_with_an_agent(endpoint: Endpoint, stub: ModuleType) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"})), stub.say("3"))
    async with OpenAIChatAgent.create(base_url=server.url, model="m") as agent:
        rollout = await agent.run(count.task(word="strawberry", letter="r"), max_steps=1)
    assert (rollout.reward, rollout.stop_reason) == (0.0, StopReason.MAX_STEPS)


async def test_a_typed_answer_is_graded_as_its_type(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    server = endpoint(stub.say('{"x": 3, "y": 4}'))
    options = {"base_url": server.url, "model": "m"}
    job = await run(where.task(), "openai_compatible", agent_options=options, kernel=kernel, save=False)
    assert job.reward == 1.0
    assert server.bodies[0]["response_format"]["json_schema"]["strict"] is True


async def test_a_model_of_openai_is_found_by_its_name(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = stub.function("count_letter", {"text": "strawberry", "letter": "r"})
    server = endpoint(
        stub.respond(call), stub.respond(stub.message("3")), stub.respond(stub.message('{"x": 3, "y": 4}'))
    )
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    tasks = [count.task(word="strawberry", letter="r"), where.task()]
    job = await run(tasks, "gpt-5.4", kernel=kernel, max_concurrent=1, save=False)
    assert [rollout.reward for rollout in job] == [1.0, 1.0]
    assert [body["model"] for body in server.bodies] == ["gpt-5.4"] * 3


async def test_kept_answers_of_a_model_that_remembers_are_used_and_gone_on_from(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel, tmp_path: Path
) -> None:
    calls = [stub.function("count_letter", {"text": "strawberry", "letter": letter}, letter) for letter in "rb"]
    replies = [
        stub.respond(calls[0], id="resp_kept"),
        stub.respond(calls[1], id="resp_lost"),
        stub.respond(stub.message("3")),
    ]
    server = endpoint(*replies, *replies[1:])
    task = count.task(word="strawberry", letter="r")
    async with OpenAIAgent.create(base_url=server.url) as agent:
        for _ in range(2):
            job = await run(task, agent, kernel=kernel, cache=tmp_path / "cache", save=False)
            assert job.reward == 1.0
        assert len(server.requests) == 3
        [*_, last] = sorted(
            (tmp_path / "cache").rglob("*"), key=lambda path: path.is_file() and b"resp_lost" in path.read_bytes()
        )
        last.unlink()
        assert (await run(task, agent, kernel=kernel, cache=tmp_path / "cache", save=False)).reward == 1.0
    assert server.bodies[3]["previous_response_id"] == "resp_kept"


async def test_how_rollouts_end(endpoint: Endpoint, stub: ModuleType, kernel: Kernel) -> None:
    cases = [
        (stub.say("3"), 1.0, StopReason.ANSWERED, None),
        (stub.say("3", finish="length"), 1.0, StopReason.TRUNCATED, None),
        (stub.say(None, refusal="no"), 0.0, StopReason.REFUSED, None),
        (stub.fail(401, "bad key"), None, None, Cause.PROVIDER),
        (stub.fail(404, "no such model"), None, None, Cause.PROVIDER),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with OpenAIChatAgent.create(base_url=server.url, model="m") as agent:
        for _, reward, stop, cause in cases:
            rollout = await count.task(word="strawberry", letter="r").run(agent, kernel=kernel)
            assert (rollout.reward, rollout.stop_reason, rollout.cause) == (reward, stop, cause)
    assert len(server.requests) == len(cases)


async def test_a_rate_limit_that_outlasts_a_call_is_tried_again_by_the_job(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel
) -> None:
    server = endpoint(stub.fail(429, retry_after_ms="1"), stub.fail(429, retry_after_ms="1"), stub.say("3"))
    job = await run(
        count.task(word="strawberry", letter="r"),
        "openai_compatible",
        agent_options={"base_url": server.url, "model": "m", "max_retries": 0, "overload_patience": 0},
        retries=Retries(delay=0.001),
        kernel=kernel,
        save=False,
    )
    [rollout] = job
    assert rollout.reward == 1.0
    assert [attempt.cause for attempt in rollout.attempts] == [Cause.PROVIDER] * 2


async def test_no_file_of_a_run_holds_a_secret(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel, tmp_path: Path
) -> None:
    server = endpoint(stub.say("3"), stub.fail(401, "Incorrect API key provided: sk-planted-key"))
    tasks = [count.task(word="strawberry", letter="r"), count.task(word="sun", letter="r")]
    options = {
        "base_url": server.url,
        "model": "m",
        "api_key": "sk-planted-key",
        "completion_kwargs": {"extra_headers": {"x-api-key": "sk-planted-header"}},
    }
    job = await run(
        tasks, "openai_compatible", agent_options=options, kernel=kernel, max_concurrent=1, directory=tmp_path / "run"
    )
    assert [rollout.is_scored for rollout in job] == [True, False]
    assert server.requests[0].headers["authorization"] == "Bearer sk-planted-key"
    written = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert written
    assert not [path for path, content in written.items() if b"sk-planted" in content]
    assert "sk-planted" not in repr(job.rollouts)


async def test_no_error_repeats_what_was_sent_in_confidence(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel
) -> None:
    server = endpoint(stub.fail(401, "no: sk-planted-header sk-planted-query sk-planted-part"))
    kwargs = {"extra_headers": {"x-tenant": "sk-planted-header"}, "extra_query": {"deep": {"key": "sk-planted-query"}}}
    options = {"base_url": f"{server.url}?v=sk-planted-part", "model": "m", "completion_kwargs": kwargs}
    for name in ("openai", "openai_compatible"):
        (rollout,) = await run(
            count.task(word="sun", letter="r"), name, agent_options=options, kernel=kernel, save=False
        )
        assert (rollout.error or "").endswith("answered 401: no: *** *** ***")


async def test_a_key_that_stands_for_none_is_no_part_of_an_answer(
    endpoint: Endpoint, stub: ModuleType, kernel: Kernel
) -> None:
    server = endpoint(stub.say("3"))
    options = {"base_url": server.url, "model": "m", "api_key": "3"}  # servers of one's own want any key
    (rollout,) = await run(
        count.task(word="strawberry", letter="r"),
        "openai_compatible",
        agent_options=options,
        kernel=kernel,
        save=False,
    )
    assert (rollout.reward, rollout.content) == (1.0, "3")


@pytest.mark.parametrize("kind", [OpenAIAgent, OpenAIChatAgent])
async def test_two_clients_of_ones_own_are_told_apart_by_their_addresses(kind: Any) -> None:
    clients = [openai.AsyncOpenAI(base_url=f"http://{host}/v1", api_key="sk-x") for host in ("a", "b")]
    one, other = (kind.create(model="m", openai_client=client) for client in clients)
    assert one.fingerprint != other.fingerprint  # and so are their answers in the cache
    assert one.fingerprint == kind.create(model="m", base_url="http://a/v1").fingerprint
