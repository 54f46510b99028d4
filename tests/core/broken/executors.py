"""Executors that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: F403, F405

from __future__ import annotations

import attrs
import pytest
from msgspec.structs import replace

from hud_core import *
from hud_core.job import run_job
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


class Handle(JobHandle):
    def __init__(self, spec):
        self.spec, self.control, self.job = spec, JobControl(), None

    async def wait(self):
        if self.job is None:
            self.job = await run_job(self.spec, self.control)
        return self.job

    async def cancel(self):
        self.control.stop()


def executor(**methods):
    kind = type("H", (Handle,), methods)

    async def submit(self, job):
        return kind(job)

    return given("executor", type("E", (Executor,), {"submit": submit}))


class TestGood(ExecutorContract):
    fails = ()
    executor = executor()


async def again(self):
    return await run_job(self.spec, self.control)


class TestRunsAgain(ExecutorContract):
    fails = ("waiting_twice",)
    executor = executor(wait=again)


async def backwards(self):
    job = await Handle.wait(self)
    return attrs.evolve(job, rollouts=job.rollouts[::-1])


class TestLosesTheOrder(ExecutorContract):
    fails = ("gives_its_rollouts", "fails_is_invalid")
    executor = executor(wait=backwards)


async def zeros(self):
    job = await Handle.wait(self)
    return attrs.evolve(job, rollouts=[replace(r, reward=r.reward or 0.0, cause=None) for r in job.rollouts])


class TestZeroForFailures(ExecutorContract):
    fails = ("fails_is_invalid",)
    executor = executor(wait=zeros)


async def drops(self):
    job = await Handle.wait(self)
    return attrs.evolve(job, rollouts=()) if job.stopped else job


class TestDropsWhatHasEnded(ExecutorContract):
    fails = ("cancelling_keeps",)
    executor = executor(wait=drops)


async def hushed(self):
    return attrs.evolve(await Handle.wait(self), stopped=False)


class TestHidesThatItStopped(ExecutorContract):
    fails = ("cancelling_keeps",)
    executor = executor(wait=hushed)
