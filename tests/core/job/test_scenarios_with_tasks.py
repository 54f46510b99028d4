"""Scenarios that hold a task group open from their first yield to their last, as those do that talk to a server."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from hud_core import Agent, Environment, Kernel, Timeouts, run
from hud_core.job.batch import evaluate
from hud_core.testing import ScriptedAgent


def make(*, ends_itself=False, hangs_in="", ended=None):
    env = Environment("busy")

    @env.scenario()
    async def holds(place: str = ""):
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                if hangs_in == "setup":
                    await anyio.sleep_forever()
                yield "go"
                if hangs_in == "grade":
                    await anyio.sleep_forever()
                if not ends_itself:
                    yield 1.0
                tasks.cancel_scope.cancel()
            yield 1.0
        finally:
            await anyio.lowlevel.checkpoint()
            if ended is not None:
                ended.append(place)

    return holds


class Waiting(Agent):
    """Waits to be cancelled."""

    def __init__(self):
        self.running = 0

    async def run(self, prompt, toolbox, *, max_steps):
        self.running += 1
        await anyio.sleep_forever()


@pytest.mark.parametrize("ends_itself", [False, True])
async def test_rollouts_have_their_scores(kernel: Kernel, ends_itself):
    ended: list[str] = []
    holds = make(ends_itself=ends_itself, ended=ended)
    tasks = [holds.task(str(number)) for number in range(5)]
    job = await run(tasks, ScriptedAgent(), kernel=kernel, save=False, max_concurrent=2)
    assert [rollout.reward for rollout in job.rollouts] == [1.0] * 5
    assert sorted(ended) == list("01234")


@pytest.mark.parametrize("ends_itself", [False, True])
async def test_a_block_has_its_score(kernel: Kernel, ends_itself):
    ended: list[str] = []
    holds = make(ends_itself=ends_itself, ended=ended)
    async with evaluate(holds.task("x"), kernel=kernel) as ctx:
        await ctx.submit("anything")
    assert ctx.reward == 1.0
    assert ended == ["x"]


@pytest.mark.parametrize("phase", ["setup", "grade"])
async def test_a_phase_that_takes_too_long_ends_its_rollout_only(kernel: Kernel, phase):
    slow, fast = make(hangs_in=phase), make()
    limits = Timeouts(setup=0.2, grade=0.2)
    tasks = [slow.task(), fast.task(), slow.task()]
    job = await run(tasks, ScriptedAgent(), kernel=kernel, save=False, timeouts=limits, max_concurrent=1)
    assert [rollout.reward for rollout in job.rollouts] == [None, 1.0, None]
    assert f"phase {phase!r} took longer than its 0.2 s" in job.rollouts[0].error


@pytest.mark.parametrize("phase", ["setup", "grade"])
async def test_a_block_that_takes_too_long_says_so(kernel: Kernel, phase):
    slow = make(hangs_in=phase)
    with pytest.raises(TimeoutError, match=f"phase '{phase}' took longer"):
        async with evaluate(slow.task(), kernel=kernel, timeouts=Timeouts(**{phase: 0.2})) as ctx:
            await ctx.submit("anything")


async def test_an_agent_that_takes_too_long_is_graded_as_it_stands(kernel: Kernel):
    job = await run(make().task(), Waiting(), kernel=kernel, save=False, timeouts=Timeouts(agent=0.1))
    assert job.rollouts[0].reward == 1.0


async def test_cancelled_they_still_clean_up(kernel: Kernel):
    ended: list[str] = []
    tasks = [make(ended=ended).task(str(number)) for number in range(3)]
    agent = Waiting()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(run, tasks, agent, kernel=kernel, save=False))
        while agent.running < 3:
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert sorted(ended) == ["0", "1", "2"]
