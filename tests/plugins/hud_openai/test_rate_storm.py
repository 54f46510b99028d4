"""An endpoint that refuses three calls in ten, whatever the load: the job gets slower, and nothing else."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hud_local
import hud_openai
from hud_core import Environment, Job, Kernel, run
from hud_core.model.events import ModelCalled
from hud_core.testing import MemorySink

LATENCY = 2.0
CALLS = 2
env = Environment("storm")


@env.tool(blocking=False)
def echo(text: str) -> str:
    """Say a text again."""
    return text


@env.scenario()
async def talk():
    answer = yield "go on"
    yield float(answer == "done")


@pytest.fixture
def many_sockets() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def storm(url: str, rollouts: int, **options: Any) -> tuple[Job, list[ModelCalled]]:
    """Run a job against an endpoint that refuses; give it, and its model calls."""
    sink = MemorySink()
    job = await run(
        [talk.task() for _ in range(rollouts)],
        "openai_compatible",
        agent_options={"base_url": url, "model": "m", "max_retries": 0},
        kernel=Kernel(plugins=[hud_local, hud_openai], autoload=False),
        max_concurrent=rollouts,
        sinks=[sink],
        **options,
    )
    assert len(job) == job.total == rollouts
    assert job.reward == job.coverage == 1.0  # every rollout is scored, and none is scored 0
    assert not [rollout for rollout in job if rollout.attempts]
    calls = [event for event in sink.events if isinstance(event, ModelCalled)]
    assert len(calls) == rollouts * CALLS
    return job, calls


async def test_no_rollout_fails_and_none_is_attempted_again(endpoint: Callable[..., Any], stub: ModuleType) -> None:
    server = endpoint(stub.converse(0.01, CALLS, 0.3, "0.05"))
    _, calls = await storm(server.url, 30, save=False)
    assert len(server.requests) == len(calls) + sum(call.retries for call in calls) > len(calls)


@pytest.fixture
def process() -> Iterator[str]:
    """The endpoint in a process of its own, so that only the job's CPU slows the job down."""
    options = ["--delay", str(LATENCY), "--turns", str(CALLS), "--refused", "0.3"]
    command = [sys.executable, str(Path(__file__).with_name("stub_endpoint.py")), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().strip()
        running.kill()


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("many_sockets")
async def test_a_thousand_rollouts_at_once(process: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, calls = await storm(process, 1_000, directory=tmp_path / "run")
    ideal = len(calls) * LATENCY + sum(call.retries for call in calls)  # the answers, and a second for each refusal
    efficiency = ideal / sum(rollout.seconds for rollout in job)
    with capsys.disabled():
        print(f"\n1,000 rollouts, 30 % of calls refused: {efficiency:.2f} of the ideal time")
