"""Environments that hold a task group open from beginning to end, as connections to servers do."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager

import anyio
import pytest

from hud_core import (
    Agent,
    Cause,
    Environment,
    JobControl,
    Kernel,
    Provider,
    StopReason,
    Timeouts,
    evaluate,
    hookimpl,
    run,
)
from hud_core.testing import InProcessBackend, ScriptedAgent

env = Environment("connected")


@env.scenario()
async def trouble(where: str = ""):
    if where == "setup":
        raise RuntimeError("no stage")
    if where == "setup hangs":
        await anyio.sleep_forever()
    yield "prompt"
    if where == "grade":
        raise RuntimeError("no referee")
    yield 1.0


class Connected(InProcessBackend):
    """Keeps a task running beside each rollout."""

    alive = 0
    crash = False
    opening: float = 0.0
    closing: float = 0.0

    @asynccontextmanager
    async def open(self, ref, *, seed=None):
        await anyio.sleep(self.opening)
        async with super().open(ref, seed=seed) as session, anyio.create_task_group() as tasks:
            await tasks.start(self._beside)
            yield session
            await anyio.sleep(self.closing)
            tasks.cancel_scope.cancel()

    async def _beside(self, task_status):
        Connected.alive += 1
        task_status.started()
        try:
            if self.crash:
                await anyio.sleep(0.05)
                raise OSError("the server hung up")
            await anyio.sleep_forever()
        finally:
            Connected.alive -= 1


class Plugin:
    @staticmethod
    @hookimpl
    def hud_backends():
        yield Provider("local", lambda: Connected)


class Waiting(Agent):
    name = "waiting"

    async def run(self, prompt, toolbox, *, max_steps):
        await anyio.sleep_forever()


@pytest.fixture
def kernel():
    Connected.alive = 0
    yield Kernel(autoload=False, plugins=[Plugin], strict=True)
    assert Connected.alive == 0
    Connected.crash, Connected.opening, Connected.closing = False, 0.0, 0.0


async def one(task, agent, kernel, **options):
    (rollout,) = (await run(task, agent, kernel=kernel, save=False, **options)).rollouts
    return rollout


@pytest.mark.parametrize(
    ("where", "cause"), [("", None), ("setup", Cause.SETUP), ("grade", Cause.GRADER), ("setup hangs", Cause.TIMEOUT)]
)
async def test_they_are_torn_down_however_a_rollout_ends(where, cause, kernel):
    rollout = await one(trouble.task(where), ScriptedAgent(), kernel, timeouts=Timeouts(setup=0.1))
    assert rollout.cause is cause
    assert rollout.reward == (None if cause else 1.0)


async def test_an_agent_out_of_time_is_graded_with_the_environment_still_open(kernel):
    rollout = await one(trouble.task(), Waiting(), kernel, timeouts=Timeouts(agent=0.1))
    assert (rollout.reward, rollout.stop_reason) == (1.0, StopReason.AGENT_TIMEOUT)


async def test_a_task_of_the_environment_that_fails_is_the_backends_failure(kernel):
    Connected.crash = True
    rollout = await one(trouble.task(), Waiting(), kernel)
    assert (rollout.cause, rollout.reward) == (Cause.BACKEND, None)
    assert "the server hung up" in rollout.error
    assert len(rollout.attempts) == 2


async def test_many_of_them_run_at_once_and_one_after_the_other(kernel):
    tasks = [trouble.task(where) for where in ("", "setup", "grade", "", "setup hangs") * 4]
    for at_once in (1, 7):
        limits = Timeouts(setup=0.05)
        job = await run(tasks, ScriptedAgent(), kernel=kernel, save=False, timeouts=limits, max_concurrent=at_once)
        assert [rollout.reward for rollout in job] == [1.0, None, None, 1.0, None] * 4


async def test_stopping_and_cancelling_a_job_tears_them_down(kernel):
    control = JobControl()
    async with anyio.create_task_group() as group:

        async def stop():
            while Connected.alive < 5:
                await anyio.sleep(0.01)
            control.stop()

        group.start_soon(stop)
        job = await run([trouble.task()] * 9, Waiting(), kernel=kernel, save=False, control=control, max_concurrent=5)
    assert job.stopped
    assert {rollout.cause for rollout in job} == {Cause.CANCELLED}
    with anyio.move_on_after(0.1) as limit:
        await run([trouble.task()] * 9, Waiting(), kernel=kernel, save=False, max_concurrent=5)
    assert limit.cancelled_caught


async def test_opening_that_takes_too_long_is_a_timeout_and_the_next_rollout_runs(kernel):
    Connected.opening = math.inf
    job = await run([trouble.task()] * 2, ScriptedAgent(), kernel=kernel, save=False, timeouts=Timeouts(open=0.1))
    assert [rollout.cause for rollout in job] == [Cause.TIMEOUT] * 2
    assert "phase 'open' took longer" in job.rollouts[0].error


async def test_closing_that_takes_too_long_is_given_up_and_the_score_stays(kernel):
    Connected.closing = math.inf
    limits = Timeouts(close=0.1)
    job = await run([trouble.task()] * 3, ScriptedAgent(), kernel=kernel, save=False, timeouts=limits, max_concurrent=1)
    assert [rollout.reward for rollout in job] == [1.0] * 3


@pytest.mark.parametrize("where", ["", "setup", "grade", "setup hangs"])
async def test_they_are_torn_down_when_the_caller_drives(where, kernel):
    async def drive():
        async with evaluate(trouble.task(where), kernel=kernel, timeouts=Timeouts(setup=0.1)) as ctx:
            assert Connected.alive == 1
            await ctx.submit("x")
        return ctx

    if where:
        with pytest.raises((RuntimeError, TimeoutError)):
            await drive()
    else:
        assert (await drive()).reward == 1.0


async def test_opening_that_takes_too_long_is_told_to_the_caller_who_drives(kernel):
    Connected.opening = math.inf
    with pytest.raises(TimeoutError, match="phase 'open' took longer"):
        async with evaluate(trouble.task(), kernel=kernel, timeouts=Timeouts(open=0.1)):
            pytest.fail("it never opened")
