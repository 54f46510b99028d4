"""No agent reaches grading: one that means harm tries every way through its toolbox, and some that lead around names.

Python has no walls inside a process, and these tests do not pretend that it has: what a function keeps inside (its
globals, closure and code) and the call stack are left out. Everything else that hangs on the toolbox is walked.
"""

from __future__ import annotations

import contextvars
import functools
import types
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Self

import pytest

from hud_core import (
    Agent,
    Environment,
    EnvRef,
    Kernel,
    Prompt,
    ScenarioHandle,
    Session,
    SubScore,
    Task,
    Tool,
    Toolbox,
    run,
)
from hud_core.environment.session import ToolFilter
from hud_core.model.evaluation import Answer, Evaluation
from hud_core.model.tools import ToolCall, ToolResult
from hud_core.testing import MemorySink, fakes

FORBIDDEN = (Session, ScenarioHandle, Environment, Task, Evaluation, SubScore, types.AsyncGeneratorType)
INSIDE_FUNCTIONS = {"__globals__", "__closure__", "__code__", "__builtins__", "f_globals", "f_builtins", "f_back"}
METHODS = (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
METHOD = ("__self__", "__func__")
"""What a bound method leads to; each time it is read it is a new object, and would have no end."""
DEPTH = 12
SECRET = "the-expected-answer-4711"

env = Environment("vault")


@env.tool
async def look() -> str:
    """Look around."""
    return "nothing"


@env.tool
async def secret() -> str:
    """A tool that the filters hide."""
    return "opened"


@env.tool
async def unseen() -> str:
    """A tool that the scenario hides."""
    return "opened"


@env.tool
async def _grade() -> str:
    """A tool for the harness."""
    return "opened"


@env.scenario(exclude_tools=["unseen"])
async def guess(expected: str) -> AsyncGenerator[Any, str]:
    """Ask for a word."""
    answer = yield "Say the word."
    yield float(answer == expected)


# --- the walk ---------------------------------------------------------------------------------------------------------


def neighbours(value: object) -> Iterator[tuple[str, object]]:
    """Give what Python code gets at from an object, without the insides of functions."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in list(value.items()))
        yield from ((f" key {key!r}", key) for key in list(value))
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from ((f"[{number}]", item) for number, item in enumerate(list(value)))
    if isinstance(value, type | types.ModuleType | str | bytes | int | float | None):
        return  # classes and modules can be imported by anybody
    for name in METHOD if isinstance(value, METHODS) else dir(value):
        if name not in INSIDE_FUNCTIONS:
            try:
                yield f".{name}", getattr(value, name)
            except Exception:  # noqa: BLE001  a property that raises leads nowhere
                continue


def walk(roots: dict[str, object], depth: int = DEPTH) -> dict[str, object]:
    """Give every object that is reached, by the way to it."""
    seen: dict[int, object] = {}
    found: dict[str, object] = {}
    waiting = deque((way, value, 0) for way, value in roots.items())
    while waiting:
        way, value, level = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value  # kept, so that no other object gets its id
        found[way] = value
        if level < depth:
            waiting.extend((way + step, inner, level + 1) for step, inner in neighbours(value))
    return found


def treasures(found: dict[str, object]) -> list[str]:
    """Give the ways to what an agent must not have: harness objects, and the expected answer."""
    return [
        way
        for way, value in found.items()
        if isinstance(value, FORBIDDEN) or (isinstance(value, str) and SECRET in value)
    ]


def own_variables() -> dict[str, object]:
    """Give the kernel's context variables, as agent code may read them."""
    context = contextvars.copy_context()
    return {f"context {var.name}": value for var, value in context.items() if var.name.startswith("hud")}


# --- an open session --------------------------------------------------------------------------------------------------


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    session = env.session()
    await session.setup("guess", {"expected": SECRET})
    yield session
    await session.aclose()


@pytest.fixture
def toolbox(session: Session) -> Toolbox:
    calls: list[ToolCall] = []

    def observe(call: ToolCall, result: ToolResult | None) -> None:
        calls.append(call)

    return Toolbox(session.tools, ToolFilter(disallowed=["secret"]), observe)


class Far(Session):
    """A session elsewhere, whose tools hold what they need to get there."""

    @property
    def tools(self) -> FarTools:
        return FarTools(self)

    async def setup(self, scenario: str, args: object) -> Any:
        raise NotImplementedError

    async def grade(self, answer: object) -> Any:
        raise NotImplementedError


class FarTools:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.headers = {"Authorization": SECRET}

    async def list_tools(self) -> list[Tool]:
        return [Tool(name="far")]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        return ToolResult(call_id=call.id)


async def test_connections_lead_neither_to_keys_nor_to_sessions() -> None:
    near = Environment("near")
    near.connect(EnvRef("far", "mcp", {"url": "https://far.test", "headers": {"Authorization": SECRET}}), prefix="x")
    session = near.session()
    await session.join({"far": Far()})
    toolbox = Toolbox(session.tools)
    assert not (await toolbox.call_tool("x_far")).is_error
    found = walk({"toolbox": toolbox})
    assert any(isinstance(value, Tool) for value in found.values())
    assert treasures(found) == []
    assert not [way for way, value in found.items() if isinstance(value, EnvRef | FarTools)]


async def test_the_toolbox_has_two_public_names(toolbox: Toolbox) -> None:
    assert [name for name in dir(toolbox) if not name.startswith("_")] == ["call_tool", "list_tools"]
    assert not hasattr(toolbox, "__dict__")


async def test_walking_the_toolbox_finds_nothing_of_the_harness(toolbox: Toolbox) -> None:
    roots = {
        "toolbox": toolbox,
        "tools": await toolbox.list_tools(),
        "result": await toolbox.call_tool("look"),
        "refusal": await toolbox.call_tool("nope"),
        **own_variables(),
    }
    found = walk(roots)
    assert len(found) > 200
    assert treasures(found) == []


async def test_the_walk_finds_what_is_there(session: Session) -> None:
    assert any("_generator" in way for way in treasures(walk({"session": session})))
    leaky = Toolbox(session.tools, None, functools.partial(lambda _session, _call, _result: None, session))
    assert treasures(walk({"toolbox": leaky}))
    bound = Toolbox(session.tools, None, session.__init__)  # type: ignore[misc, arg-type]  # any bound method will do
    assert treasures(walk({"toolbox": bound}))
    assert treasures(walk({"text": {"deep": [f"it is {SECRET}"]}}))


NAMES = [
    "_hud_submit", "_hud_setup", "_hud_grade", "_grade", "setup", "grade", "submit", "close", "aclose", "guess",
    "vault:guess", "vault:_grade", "env:guess", "secret", "unseen", "vault:secret", "SECRET", " secret", "secret ",
    "secret\n", "look\0secret", "*", "[s]ecret", "__class__", "call_tool", "tools", "", ".", "../secret",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_are_not_shown_cannot_be_called(toolbox: Toolbox, name: str) -> None:
    for result in (await toolbox.call_tool(name), await toolbox.call_tool(ToolCall(name))):
        assert result.is_error
        assert result.text == f"unknown tool {name!r}; there are look"


async def test_only_shown_tools_are_listed(toolbox: Toolbox) -> None:
    assert [tool.name for tool in await toolbox.list_tools()] == ["look"]


# --- names that lie ---------------------------------------------------------------------------------------------------


class Chameleon(str):
    """Text that reads ``look`` and says that it is another name whenever it is compared or looked up."""

    __slots__ = ("meant",)

    def __new__(cls, shown: str, meant: str) -> Self:
        self = super().__new__(cls, shown)
        self.meant = meant
        return self

    def __hash__(self) -> int:
        return hash(self.meant)

    def __eq__(self, other: object) -> bool:
        return self.meant == other

    def __str__(self) -> str:
        return self.meant

    def startswith(self, *_: object) -> bool:  # type: ignore[override]  # it lies
        return False


class Turncoat(ToolCall):
    """A call whose name is another one each time it is read."""

    reads = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            type(self).reads += 1
            return "look" if type(self).reads % 2 else "secret"
        return super().__getattribute__(name)


class Impostor:
    """Not a call at all, but it has the same attributes."""

    arguments: dict[str, Any] = {}  # noqa: RUF012  it stands for an instance's
    id = ""

    def __init__(self) -> None:
        self.names = iter(["look", "secret", "secret", "secret", "secret"])

    @property
    def name(self) -> str:
        return next(self.names)


@pytest.mark.parametrize("meant", ["secret", "unseen", "_grade"])
async def test_text_that_lies_about_itself_opens_nothing(toolbox: Toolbox, meant: str) -> None:
    for shown in ("look", meant):
        for call in (Chameleon(shown, meant), ToolCall(Chameleon(shown, meant))):
            assert "opened" not in (await toolbox.call_tool(call)).text


@pytest.mark.parametrize("make", [lambda: Turncoat("look"), Impostor])
async def test_a_call_that_changes_its_name_opens_nothing(toolbox: Toolbox, make: Callable[[], Any]) -> None:
    for _ in range(4):
        try:
            result = await toolbox.call_tool(make())
        except Exception:  # noqa: BLE001  to refuse it is as good
            continue
        assert "opened" not in result.text


async def test_the_class_cannot_be_changed_into_a_session(toolbox: Toolbox, session: Session) -> None:
    for kind in (type(session), Environment, dict):
        with pytest.raises(TypeError):
            toolbox.__class__ = kind  # type: ignore[assignment]  # that is the attempt
    with pytest.raises(AttributeError):
        toolbox.session = session  # type: ignore[attr-defined]  # that is the attempt


async def test_arguments_do_not_reach_past_the_schema(toolbox: Toolbox) -> None:
    for arguments in ({"self": 1}, {"expected": "x"}, {"session": 1}, {"__class__": 1}):
        result = await toolbox.call_tool("look", **arguments)
        assert result.is_error


# --- a whole job ------------------------------------------------------------------------------------------------------


class Hostile(Agent):
    """Tries everything during a rollout, and keeps what it found."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.opened: list[str] = []

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> str:
        roots = {"toolbox": toolbox, "prompt": prompt, "tools": await toolbox.list_tools()}
        roots["result"] = await toolbox.call_tool("look")
        roots["call"] = call = toolbox.call_tool("look")
        self.found = treasures(walk(roots))
        await call
        await self._try_names(toolbox)
        return "a wrong answer"

    async def _try_names(self, toolbox: Toolbox) -> None:
        for meant in ("secret", "unseen", "_grade"):
            calls = [meant, ToolCall(meant), Chameleon("look", meant), ToolCall(Chameleon("look", meant))]
            for call in [*calls, *NAMES]:
                if "opened" in (await toolbox.call_tool(call)).text:
                    self.opened.append(f"{call!r} for {meant}")


async def test_a_hostile_agent_finds_nothing_in_a_job() -> None:
    agent, sink = Hostile(), MemorySink()
    kernel = Kernel(autoload=False, plugins=[fakes])
    job = await run(
        guess.task(expected=SECRET), agent, kernel=kernel, sinks=[sink], disallowed_tools=["secret"], save=False
    )
    [rollout] = job.rollouts
    assert rollout.error is None
    assert rollout.reward == 0.0
    assert agent.found == []
    assert agent.opened == []
    assert len(sink.of_type("graded")) == 1


class Answers(Agent):
    """Gives an answer that wants to be a score."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Any:
        return self.answer


class Everything(str):
    """Text that equals anything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "answer",
    [
        Evaluation(reward=1.0), 1.0, {"reward": 1.0}, [SubScore(name="x", value=1.0)], None, Everything("x"),
        Answer(text=Everything("x")), Answer(text=""), Answer(text="x", structured={"reward": 1.0}),
    ],
    ids=lambda answer: type(answer).__name__,
)  # fmt: skip
async def test_an_answer_never_is_a_score(answer: object) -> None:
    kernel = Kernel(autoload=False, plugins=[fakes])
    job = await run(guess.task(expected=SECRET), Answers(answer), kernel=kernel, save=False)
    assert job.rollouts[0].reward in {None, 0.0}
