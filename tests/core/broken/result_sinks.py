"""Sinks of results that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: F403, F405

from __future__ import annotations

import pytest

from hud_core import *
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


def sink(**methods):
    return given("sink", type("S", (MemorySink,), methods))


class TestGood(ResultSinkContract):
    fails = ()
    sink = given("sink", MemorySink)


async def only_graded(self, event):
    if event.type == "log_line":
        raise ValueError(event.type)


class TestChokesOnOneType(ResultSinkContract):
    fails = ("every_event_is_taken", "may_mix", "aclose_may_be_called_twice")
    sink = sink(handle=only_graded)


async def rewards(self, event):
    if event.type == "rollout_finished":
        float(event.record.reward)


class TestNeedsARewardEverywhere(ResultSinkContract):
    fails = ("every_event_is_taken", "may_mix", "aclose_may_be_called_twice")
    sink = sink(handle=rewards)


async def known(self, event):
    {
        "job_started": 1,
        **dict.fromkeys(
            [
                "rollout_started",
                "prompted",
                "conversation_started",
                "model_called",
                "tool_called",
                "tool_returned",
                "answered",
                "graded",
                "attempt_failed",
                "rollout_finished",
                "job_finished",
                "log_line",
            ],
            1,
        ),
    }[event.type]


class TestChokesOnTheFuture(ResultSinkContract):
    fails = ("later_kernel",)
    sink = sink(handle=known)


async def one_rollout(self, event):
    rollout = getattr(event, "rollout", None)
    assert rollout is None or getattr(self, "rollout", rollout) == rollout
    self.rollout = rollout or getattr(self, "rollout", None)
    if self.rollout is None:
        del self.rollout


class TestOneRolloutAtATime(ResultSinkContract):
    fails = ("may_mix",)
    sink = sink(handle=one_rollout)


async def close_once(self):
    assert not self.is_closed
    self.is_closed = True


class TestClosesOnce(ResultSinkContract):
    fails = ("aclose_may_be_called_twice",)
    sink = sink(aclose=close_once)


async def needs_events(self):
    self.events[0]


class TestNeedsEvents(ResultSinkContract):
    fails = ("aclose_works_without",)
    sink = sink(aclose=needs_events)
