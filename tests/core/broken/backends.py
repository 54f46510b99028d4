"""Backends that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: ASYNC220, BLE001, F403, F405, PLW0108, RUF012

from __future__ import annotations

import contextlib
import subprocess

import anyio
import attrs
import pytest

from hud_core import *
from hud_core.environment.session import Session
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


class Open(InProcessBackend):
    wrap = staticmethod(lambda session: session)

    @contextlib.asynccontextmanager
    async def open(self, ref, *, seed=None):
        async with super().open(ref, seed=seed) as session:
            yield self.wrap(session)


class Wrapped(Session):
    def __init__(self, inner):
        self.inner = inner

    @property
    def tools(self):
        return self.inner.tools

    async def setup(self, scenario, args):
        return await self.inner.setup(scenario, args)

    async def grade(self, answer):
        return await self.inner.grade(answer)


def backend(wrap):
    return given("backend", lambda: type("B", (Open,), {"wrap": staticmethod(wrap)})())


class TestGood(BackendContract):
    fails = ()
    backend = backend(lambda session: session)


class TestNoCheck(BackendContract):
    fails = ("check_passes",)

    class B(Open):
        async def check(self):
            raise BackendError("not here")

    backend = given("backend", B)


class HalfReward(Wrapped):
    async def grade(self, answer):
        evaluation = await self.inner.grade(answer)
        return Evaluation(reward=evaluation.reward / 2)


class TestHalfReward(BackendContract):
    fails = (
        "gets_the_scenarios_prompt_and_reward",
        "typed_answers",
        "sub_scores",
        "goes_wrong_in_a_tool",
        "call_tools_of_their_own",
        "two_sessions_have_scenarios",
        "many_sessions",
    )
    backend = backend(HalfReward)


class PlainText(Wrapped):
    async def setup(self, scenario, args):
        prompt = await self.inner.setup(scenario, args)
        return Prompt(messages=(Message(content=(TextContent(text=prompt.text),)),))


class TestPlainTextPrompts(BackendContract):
    fails = ("prompts_keep", "typed_answers_have", "what_the_tools_gave_before")
    backend = backend(PlainText)


class RaisingTools:
    def __init__(self, tools):
        self.inner = tools

    async def list_tools(self):
        return await self.inner.list_tools()

    async def call_tool(self, call):
        result = await self.inner.call_tool(call)
        if result.is_error:
            raise ToolError(result.text)
        return result


class ToolsRaise(Wrapped):
    tools = property(lambda self: RaisingTools(self.inner.tools))


class TestToolsRaise(BackendContract):
    fails = ("what_goes_wrong_in_a_tool",)
    backend = backend(ToolsRaise)


class QuietTools(RaisingTools):
    async def call_tool(self, call):
        result = await self.inner.call_tool(call)
        return attrs.evolve(result, content=(TextContent(text="error"),)) if result.is_error else result


class ToolsSayNothing(Wrapped):
    tools = property(lambda self: QuietTools(self.inner.tools))


class TestToolErrorsSayNothing(BackendContract):
    fails = ("what_goes_wrong_in_a_tool",)
    backend = backend(ToolsSayNothing)


class NoTools(RaisingTools):
    async def list_tools(self):
        return []


class HidesTools(Wrapped):
    tools = property(lambda self: NoTools(self.inner.tools))


class TestHidesTools(BackendContract):
    # What goes wrong in a tool is a ToolError here, which list_tools has nothing to do with.
    fails = ("tools_are_listed", "what_goes_wrong_in_a_tool")
    backend = backend(HidesTools)


class Unhelpful(Wrapped):
    async def setup(self, scenario, args):
        try:
            return await self.inner.setup(scenario, args)
        except ArgumentError as error:
            raise ValueError("bad request") from error


class TestArgumentsAreNotNamed(BackendContract):
    fails = ("wrong_arguments_of_a_scenario",)
    backend = backend(Unhelpful)


class SetupIsBackend(Wrapped):
    async def setup(self, scenario, args):
        try:
            return await self.inner.setup(scenario, args)
        except ArgumentError:
            raise
        except Exception as error:
            raise BackendError("setup failed") from error


class TestSetupFailuresAreTheBackends(BackendContract):
    fails = ("cannot_be_set_up",)
    backend = backend(SetupIsBackend)


class ZeroForErrors(Wrapped):
    async def grade(self, answer):
        try:
            return await self.inner.grade(answer)
        except Exception:
            return Evaluation(reward=0)


class TestZeroForErrors(BackendContract):
    fails = ("without_a_score_is_a_grader_error",)
    backend = backend(ZeroForErrors)


class TestGroupsExceptions(BackendContract):
    fails = ("comes_out_as_it_is",)

    class B(Open):
        @contextlib.asynccontextmanager
        async def open(self, ref, *, seed=None):
            async with anyio.create_task_group(), super().open(ref, seed=seed) as session:
                yield session

    backend = given("backend", B)


class TestLeavesScenariosOpen(BackendContract):
    fails = ("leaving_the_session_closes",)
    held = []

    @pytest.fixture(autouse=True)
    def impatient(self, request):
        if self.fails[0] in request.node.name:  # the others wait for what comes
            self.patience = 1.0

    class B(InProcessBackend):
        @contextlib.asynccontextmanager
        async def open(self, ref, *, seed=None):
            session = ref.session()
            TestLeavesScenariosOpen.held.append(session)
            if ref.on_initialize:
                ref.on_initialize[0]()
            try:
                yield session
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await session.aclose()
                raise

    backend = given("backend", B)

    # The generator is closed at last, so that nothing is reported outside the test.
    @pytest.fixture(autouse=True)
    async def close(self):
        yield
        for session in self.held:
            with contextlib.suppress(RuntimeError):
                await session.aclose()
        self.held.clear()


class TestLeavesAProcess(BackendContract):
    fails = ("cancelling_a_tool_leaves_nothing",)
    started = []

    class B(Open):
        @contextlib.asynccontextmanager
        async def open(self, ref, *, seed=None):
            TestLeavesAProcess.started.append(subprocess.Popen(["sleep", "60"]))
            async with super().open(ref, seed=seed) as session:
                yield session

    backend = given("backend", B)

    @pytest.fixture(autouse=True)
    def kill(self):
        yield
        for process in self.started:
            process.kill()
            process.wait()
        self.started.clear()


class TestNeverInitialises(BackendContract):
    fails = ("initialize_functions",)

    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch):
        from hud_core.testing import environments

        monkeypatch.setitem(environments._state, "initialized", 0)

    class B(InProcessBackend):
        @contextlib.asynccontextmanager
        async def open(self, ref, *, seed=None):
            session = ref.session()
            try:
                yield session
            finally:
                with anyio.CancelScope(shield=True):
                    await session.aclose()

    backend = given("backend", B)


class TestOneSessionForAll(BackendContract):
    fails = ("two_sessions_have_scenarios", "many_sessions")

    class B(InProcessBackend):
        shared = None

        @contextlib.asynccontextmanager
        async def open(self, ref, *, seed=None):
            if self.shared is None:
                self.shared = ref.session()
                ref.on_initialize[0]()
            try:
                yield self.shared
            finally:
                with anyio.CancelScope(shield=True):
                    await self.shared.aclose()

    backend = given("backend", B)


class TestClaimsIsolation(BackendContract):
    fails = ("two_sessions_have_module_state",)
    isolates_module_state = True
    backend = backend(lambda session: session)


class TestClosesOnce(BackendContract):
    fails = ("aclose_may_be_called_twice",)

    class B(Open):
        closed = False

        async def aclose(self):
            if self.closed:
                raise RuntimeError("closed already")
            self.closed = True

    backend = given("backend", B)


class Died(RaisingTools):
    async def call_tool(self, call):
        if call.name == "die":
            raise ConnectionResetError("it is gone")
        return await self.inner.call_tool(call)


class Crashes(Wrapped):
    tools = property(lambda self: Died(self.inner.tools))


class TestCrashIsSomethingElse(BackendContract):
    fails = ("a_killed_environment",)
    backend = backend(Crashes)
