"""Agents that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: BLE001, F403, F405

from __future__ import annotations

import os

import anyio
import pytest

from hud_core import *
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


class Base(Agent):
    async def run(self, prompt, toolbox, *, max_steps):
        return "3"


def fixtures(cls):
    return {
        name: given(name, make)
        for name, make in (
            ("agent", cls),
            ("stumbling", lambda: ScriptedAgent([("boom", {})], "3")),
            ("endless", lambda: ScriptedAgent([("echo", {"text": "x"})] * 100)),
            ("sleeping", lambda: ScriptedAgent([("slow", {"marks": "."})])),
        )
    }


class TestGood(AgentContract):
    fails = ()
    locals().update(fixtures(Base))


class TestReturnsNone(AgentContract):
    fails = ("gives_text_or_an_answer", "without_tools_answers", "many_rollouts")

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            return None

    locals().update(fixtures(A))


class TestNeedsTools(AgentContract):
    fails = ("without_tools_answers",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            return (await toolbox.list_tools())[0].name

    locals().update(fixtures(A))


class TestLooksIntoTheToolbox(AgentContract):
    fails = ("uses_only_list_tools",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            return str(getattr(toolbox, "_tools", ""))[:0]

    locals().update(fixtures(A))


class TestKeepsStateOnItself(AgentContract):
    fails = ("many_rollouts",)

    class A(Agent):
        calls = 0

        async def run(self, prompt, toolbox, *, max_steps):
            self.calls += 1
            await anyio.lowlevel.checkpoint()
            return str(self.calls)

    locals().update(fixtures(A))


class TestToolErrorsEndIt(AgentContract):
    fails = ("tool_that_fails_does_not_end",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            result = await toolbox.call_tool("boom")
            if result.is_error:
                raise AgentError(result.text)
            return ""

    locals().update(fixtures(Base))
    stumbling = given("stumbling", A)


class TestIgnoresMaxSteps(AgentContract):
    fails = ("max_steps_are_honoured",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            for _ in range(max_steps + 1):
                await toolbox.call_tool("echo", text="x")
            return Answer(stop_reason=StopReason.MAX_STEPS)

    locals().update(fixtures(Base))
    endless = given("endless", A)


class TestHidesThatStepsRanOut(AgentContract):
    fails = ("max_steps_are_honoured",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            await toolbox.call_tool("echo", text="x")
            return "done"

    locals().update(fixtures(Base))
    endless = given("endless", A)


class TestSwallowsCancellation(AgentContract):
    fails = ("cancellation_goes_through",)

    class A(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            try:
                await toolbox.call_tool("slow", marks=".")
            except BaseException:
                return "caught"

    locals().update(fixtures(Base))
    sleeping = given("sleeping", A)


class TestClosesOnce(AgentContract):
    fails = ("aclose_may_be_called_twice",)

    class A(Base):
        closed = False

        async def aclose(self):
            assert not self.closed
            self.closed = True

    locals().update(fixtures(A))


class TestFingerprintChanges(AgentContract):
    fails = ("fingerprint_stays",)

    class A(Base):
        fingerprint = property(lambda self: os.urandom(4).hex())

    locals().update(fixtures(A))
