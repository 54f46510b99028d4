"""Phases that take too long, and jobs that are stopped or cancelled."""

from __future__ import annotations

import gc
import types

import anyio
import pytest

from hud_core import Agent, Cause, ConfigError, Environment, JobControl, StopReason, Timeouts, run
from hud_core.job.directory import read_rollouts
from hud_core.testing import InProcessBackend, ScriptedAgent, fakes

env = Environment("slow")
closed: list[str] = []


@env.tool
async def wait() -> str:
    await anyio.sleep_forever()
    return "never"


@env.scenario()
async def hangs(where: str):
    try:
        if where == "setup":
            await anyio.sleep_forever()
        yield "prompt"
        if where == "grade":
            await anyio.sleep_forever()
        yield 1.0
    finally:
        closed.append(where)


class Waiting(Agent):
    """Waits for good, in its own code or in a tool."""

    name = "waiting"

    def __init__(self, in_tool: bool = False) -> None:
        self.in_tool = in_tool
        self.running = 0

    async def run(self, prompt, toolbox, *, max_steps):
        self.running += 1
        try:
            if self.in_tool:
                await toolbox.call_tool("wait")
            await anyio.sleep_forever()
        finally:
            self.running -= 1


@pytest.fixture(autouse=True)
def _no_leftovers():
    closed.clear()


@pytest.mark.parametrize("at_once", [1, 5])
async def test_a_phase_that_takes_too_long_is_invalid_and_the_rest_goes_on(at_once, kernel, tmp_path):
    tasks = [hangs.task(where) for where in ("setup", "no", "grade", "no", "no")]
    limits = Timeouts(setup=0.2, grade=0.2)
    job = await run(
        tasks, ScriptedAgent(), kernel=kernel, timeouts=limits, max_concurrent=at_once, directory=tmp_path / "run"
    )
    assert [rollout.reward for rollout in job] == [None, 1.0, None, 1.0, 1.0]
    assert {rollout.cause for rollout in job} == {None, Cause.TIMEOUT}
    assert "phase 'setup' took longer than its 0.2 s" in job.rollouts[0].error
    assert job.rollouts[2].phase == "grade"
    assert sorted(closed) == ["grade", "no", "no", "no", "setup"]
    assert len(read_rollouts(job.directory)) == 5


async def test_an_agent_that_takes_too_long_is_graded_as_it_stands(kernel):
    job = await run(hangs.task("no"), Waiting(), kernel=kernel, timeouts=Timeouts(agent=0.1), save=False)
    (rollout,) = job.rollouts
    assert (rollout.status, rollout.stop_reason, rollout.reward) == ("scored", StopReason.AGENT_TIMEOUT, 1.0)


async def test_a_teardown_that_hangs_is_given_up_and_the_score_stays(kernel, monkeypatch):
    class Sticky(InProcessBackend):
        def open(self, ref, *, seed=None):
            return _Sticky(super().open(ref, seed=seed))

    class _Sticky:
        def __init__(self, inner):
            self.inner = inner

        async def __aenter__(self):
            return await self.inner.__aenter__()

        async def __aexit__(self, *error):
            await self.inner.__aexit__(*error)
            await anyio.sleep_forever()

    monkeypatch.setattr(fakes, "InProcessBackend", Sticky)
    job = await run([hangs.task("no")] * 3, ScriptedAgent(), kernel=kernel, timeouts=Timeouts(close=0.1), save=False)
    assert [rollout.reward for rollout in job] == [1.0, 1.0, 1.0]


async def test_stop_keeps_what_has_ended_and_says_what_has_not(kernel, tmp_path):
    control = JobControl()
    tasks = [hangs.task("no") for _ in range(10)]

    class StopAfter(Waiting):
        async def run(self, prompt, toolbox, *, max_steps):
            if control.progress.done < 3:
                return "x"
            if control.progress.running == 2:
                control.stop()
            return await super().run(prompt, toolbox, max_steps=max_steps)

    job = await run(tasks, StopAfter(), kernel=kernel, max_concurrent=2, control=control, directory=tmp_path / "run")
    assert job.stopped
    assert job.total == 10
    scored = [rollout for rollout in job if rollout.is_scored]
    stopped = [rollout for rollout in job if rollout.cause is Cause.CANCELLED]
    assert len(scored) >= 3
    assert stopped
    assert {r.id for r in read_rollouts(job.directory)} == {r.id for r in scored}  # what was stopped is to be run again
    assert job.coverage == len(scored) / 10


async def test_a_job_stopped_before_it_starts_runs_nothing(kernel):
    control = JobControl()
    control.stop()
    job = await run(hangs.task("no"), Waiting(), kernel=kernel, control=control, save=False)
    assert (job.total, job.summary().scored, job.stopped) == (1, 0, True)


@pytest.mark.parametrize("in_tool", [False, True])
async def test_cancelling_a_thousand_rollouts_leaves_nothing_behind(in_tool, kernel, anyio_backend_name):
    agent = Waiting(in_tool)
    tasks = [hangs.task("no") for _ in range(1000)]
    reached_the_end = False
    async with anyio.create_task_group() as group:

        async def job():
            nonlocal reached_the_end
            await run(tasks, agent, kernel=kernel, max_concurrent=1000, save=False)
            reached_the_end = True

        group.start_soon(job)
        with anyio.fail_after(60):
            while agent.running < 1000:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert not reached_the_end  # cancellation goes through, it is no outcome
    assert agent.running == 0
    assert len(closed) == 1000
    gc.collect()
    generators = [
        o for o in gc.get_objects() if isinstance(o, types.AsyncGeneratorType) and o.ag_code is hangs.function.__code__
    ]
    assert [generator for generator in generators if generator.ag_frame is not None] == []
    tasks_left = [task.name for task in anyio.get_running_tasks() if "worker" in (task.name or "")]
    assert tasks_left == []


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_a_deadline_of_nothing_is_refused(seconds):
    with pytest.raises(ConfigError, match="timeout 'setup' must be more than 0"):
        Timeouts(setup=seconds)
