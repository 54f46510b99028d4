"""A scenario as a session runs it: what it receives, what its errors become, and that it is always closed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.lowlevel
import attrs
import pydantic
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import ArgumentError, BackendError, GraderError, SetupError, ToolError
from hud_core.model.content import Citation
from hud_core.model.evaluation import AgentAnswer, Answer
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_core.environment.live import LiveSession


@dataclass
class Point:
    x: int
    y: int = 0


@attrs.frozen
class Attrs:
    x: int


class Model(pydantic.BaseModel):
    x: int = pydantic.Field(ge=0)


class Colour(Enum):
    RED = "red"


@pytest.fixture
def env() -> Environment:
    return Environment("lab")


@asynccontextmanager
async def opened(env: Environment) -> AsyncIterator[LiveSession]:
    """Open a session and close it, as backends do."""
    session = env.session()
    try:
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.aclose()


async def received(env: Environment, answer: Answer, **options: Any) -> Any:
    """Give what the generator receives for an answer."""
    got: list[Any] = []

    @env.scenario("ask", **options)
    async def ask() -> Any:
        got.append((yield "?"))
        yield 1

    async with opened(env) as session:
        await session.setup("ask", {})
        await session.grade(answer)
    return got[0]


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"answer": 3}', "[1, 2]", "null", "", " 3 ", '"quoted"', "true"])
async def test_text_arrives_verbatim(env: Environment, text: str) -> None:
    assert await received(env, Answer(text=text)) == text


@pytest.mark.parametrize(
    ("returns", "text", "content"),
    [
        (Point, '{"x": 1}', Point(1)),
        (Attrs, '{"x": 1}', Attrs(1)),
        (Model, '{"x": 1}', Model(x=1)),
        (list[Point], '[{"x": 1}, {"x": 2, "y": 3}]', [Point(1), Point(2, 3)]),
        (Point | Model | None, '{"x": 1}', Point(1)),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (int, " 3 ", 3),
        (float, "3", 3.0),
        (bool, "true", True),
        (Colour, '"red"', Colour.RED),
        (Colour, "red", Colour.RED),
        (Literal["a", "b"], "a", "a"),
        (str, '{"x": 1}', '{"x": 1}'),
    ],
    ids=str,
)
async def test_typed_answers(env: Environment, returns: Any, text: str, content: Any) -> None:
    answer = await received(env, Answer(text=text), returns=returns)
    assert answer == AgentAnswer(content=content, raw=text)
    assert type(answer.content) is type(content)


async def test_structured_answers_and_citations(env: Environment) -> None:
    citations = (Citation(source="a"),)
    answer = await received(env, Answer(text="see data", structured={"x": 1}, citations=citations), returns=Point)
    assert answer == AgentAnswer(content=Point(1), raw="see data", citations=citations)


@pytest.mark.parametrize(
    ("returns", "given", "said"),
    [
        (Point, Answer(text="no idea"), "the answer is no Point, which scenario 'ask' asks for"),
        (Point, Answer(text='{"x": "1"}'), ".x: expected int, got str '1'"),
        (Point, Answer(text='{"x": 1, "z": 2}'), ".z: unknown field"),
        (Model, Answer(text='{"x": -1}'), "greater than or equal to 0"),
        (list[Point], Answer(text='[{"x": 1}, {}]'), "[1]: object missing required field x"),
        (int, Answer(text="3.0"), "expected int, got float 3.0"),
        (float, Answer(text="NaN"), "the answer is no float"),
        (Point, Answer(text="fine", structured=[1]), "expected object, got array [1]"),
    ],
    ids=str,
)
async def test_answers_that_do_not_fit(env: Environment, returns: Any, given: Answer, said: str) -> None:
    answer = await received(env, given, returns=returns)
    assert (answer.content, answer.raw) == (given.text, given.text)
    assert said in answer.error


@pytest.mark.parametrize("returns", [Point, Attrs, Model, list[Point], Point | Attrs, int])
async def test_the_answers_schema_is_published_with_the_prompt(env: Environment, returns: Any) -> None:
    @env.scenario(returns=returns)
    async def ask() -> Any:
        yield "?"
        yield 1

    async with opened(env) as session:
        prompt = await session.setup("ask", {})
    assert prompt.answer_schema == ask.answer_type.schema  # type: ignore[union-attr]
    assert prompt.answer_schema
    assert "$ref" not in prompt.answer_schema


@pytest.mark.parametrize("returns", [None, str])
async def test_text_has_no_schema(env: Environment, returns: Any) -> None:
    @env.scenario(returns=returns)
    async def ask() -> Any:
        yield "?"
        yield 1

    async with opened(env) as session:
        assert (await session.setup("ask", {})).answer_schema is None


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_scenario_that_wants_citations_says_so_with_its_prompt(env: Environment, wanted: bool) -> None:
    @env.scenario(enable_citations=wanted)
    async def ask() -> Any:
        yield "?"
        yield 1

    async with opened(env) as session:
        assert (await session.setup("ask", {})).enable_citations is wanted


async def score(env: Environment, answer: Answer, body: Any, **options: Any) -> Any:
    @env.scenario("ask", **options)
    async def ask() -> Any:
        answer = yield "?"
        yield body(answer)

    async with opened(env) as session:
        await session.setup("ask", {})
        return await session.grade(answer)


async def test_a_misfit_that_the_scenario_does_not_care_for_scores_zero(env: Environment) -> None:
    evaluation = await score(env, Answer(text="junk"), lambda answer: answer.content.x == 1, returns=Point)
    assert evaluation.reward == 0.0
    assert "no Point" in evaluation.content
    assert evaluation.info["raised"].startswith("AttributeError")


async def test_a_misfit_that_becomes_no_score_scores_zero(env: Environment) -> None:
    assert (await score(env, Answer(text="junk"), lambda answer: answer.content, returns=float)).reward == 0.0


async def test_a_misfit_that_the_scenario_does_care_for_is_scored_by_it(env: Environment) -> None:
    evaluation = await score(env, Answer(text="junk"), lambda answer: 0.25 if answer.error else 1, returns=Point)
    assert evaluation.reward == 0.25


async def test_a_misfit_does_not_hide_what_the_scenario_reports(env: Environment) -> None:
    def lost(answer: Any) -> float:
        raise BackendError("lost")

    with pytest.raises(BackendError, match="lost"):
        await score(env, Answer(text="junk"), lost, returns=Point)


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_the_error_of_a_setup_is_raised_as_it_is(env: Environment) -> None:
    @env.scenario()
    async def ask() -> Any:
        raise KeyError("gone")
        yield

    with pytest.raises(KeyError, match="gone"):
        await env.session().setup("ask", {})


async def test_the_error_of_grading_is_raised_as_it_is(env: Environment) -> None:
    with pytest.raises(ZeroDivisionError):
        await score(env, Answer(text="1"), lambda answer: 1 / 0)


async def test_no_first_yield(env: Environment) -> None:
    @env.scenario()
    async def ask() -> Any:
        if env.name == "":
            yield "never"

    with pytest.raises(SetupError, match="scenario 'ask' ended without a prompt"):
        await env.session().setup("ask", {})


async def test_no_second_yield(env: Environment) -> None:
    @env.scenario()
    async def ask() -> Any:
        yield "?"

    session = env.session()
    await session.setup("ask", {})
    with pytest.raises(GraderError, match="scenario 'ask' ended without a second yield, so there is no score"):
        await session.grade(Answer(text="1"))


async def test_what_follows_the_second_yield_does_not_count(env: Environment) -> None:
    after: list[str] = []

    @env.scenario()
    async def ask() -> Any:
        yield "?"
        yield 0.5
        after.append("ran")
        yield 1

    async with opened(env) as session:
        await session.setup("ask", {})
        assert (await session.grade(Answer())).reward == 0.5
    assert after == []


async def test_wrong_arguments_name_the_scenario(env: Environment) -> None:
    @env.scenario()
    async def ask(count: int) -> Any:
        yield "?"
        yield 1

    with pytest.raises(ArgumentError, match="scenario 'ask': parameter 'count': expected int, got str '3'"):
        await env.session().setup("ask", {"count": "3"})


async def test_an_unknown_scenario_names_the_closest(env: Environment) -> None:
    @env.scenario()
    async def checkout() -> Any:
        yield "?"
        yield 1

    with pytest.raises(SetupError, match="has no scenario 'chekout'; did you mean 'checkout'"):
        await env.session().setup("chekout", {})
    with pytest.raises(SetupError, match="has no scenario 'other:checkout'"):
        await env.session().setup("other:checkout", {})
    async with opened(env) as session:
        assert (await session.setup("lab:checkout", {})).text == "?"


async def test_grading_without_setup(env: Environment) -> None:
    with pytest.raises(GraderError, match="no scenario was set up"):
        await env.session().grade(Answer())


async def test_missing_environment_variables_are_named(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    @env.scenario(required_env_vars=["LAB_KEY", "LAB_URL"])
    async def ask() -> Any:
        yield "?"
        yield 1

    monkeypatch.setenv("LAB_URL", "x")
    monkeypatch.delenv("LAB_KEY", raising=False)
    with pytest.raises(SetupError, match="scenario 'ask' needs the environment variables LAB_KEY; set them"):
        await env.session().setup("ask", {})
    monkeypatch.setenv("LAB_KEY", "y")
    async with opened(env) as session:
        await session.setup("ask", {})


async def test_repeats_do_not_share_arguments(env: Environment) -> None:
    @env.scenario()
    async def ask(items: list[Any], config: dict[str, Any]) -> Any:
        items[0].append("touched")
        config["inner"]["touched"] = True
        yield str(items)
        yield 1

    task = ask.task([["a"]], {"inner": {}})
    for _ in range(2):
        async with opened(env) as session:
            assert (await session.setup("ask", task.args or {})).text == "[['a', 'touched']]"


# --- closing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def closed(env: Environment) -> list[str]:
    """Declare a scenario that says when it is closed."""
    steps: list[str] = []

    @env.scenario()
    async def ask(prompt: Any = "?", score: Any = 1) -> Any:
        try:
            yield prompt
            if score == "raise":
                raise ValueError("no")
            if score == "sleep":
                await anyio.sleep_forever()
            yield score
        finally:
            steps.append("closing")
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            steps.append("closed")

    return steps


@pytest.mark.parametrize("final", [1, None, "raise"])
async def test_the_generator_is_closed_after_grading(env: Environment, closed: list[str], final: Any) -> None:
    async with opened(env) as session:
        await session.setup("ask", {"score": final})
        try:
            await session.grade(Answer())
        except (GraderError, ValueError):
            assert final != 1
    await session.aclose()
    assert closed == ["closing", "closed"]


async def test_the_generator_is_closed_after_a_failed_setup(env: Environment, closed: list[str]) -> None:
    async with opened(env) as session:
        with pytest.raises(SetupError):
            await session.setup("ask", {"prompt": 5})
    assert closed == ["closing", "closed"]


async def test_the_generator_is_closed_once(env: Environment, closed: list[str]) -> None:
    session = env.session()
    await session.setup("ask", {})
    await session.aclose()
    await session.aclose()
    assert closed == ["closing", "closed"]


async def test_the_generator_is_closed_by_the_next_setup(env: Environment, closed: list[str]) -> None:
    async with opened(env) as session:
        await session.setup("ask", {})
        await session.setup("ask", {})
        assert closed == ["closing", "closed"]


async def test_the_generator_is_closed_after_cancellation(env: Environment, closed: list[str]) -> None:
    with anyio.CancelScope() as scope:
        async with opened(env) as session:
            await session.setup("ask", {"score": "sleep"})
            scope.deadline = anyio.current_time() + 0.01
            await session.grade(Answer())
    assert scope.cancelled_caught
    assert closed == ["closing", "closed"]


# --- tools of the session ---------------------------------------------------------------------------------------------


async def test_scenario_code_reaches_the_tools_of_its_own_session(env: Environment) -> None:
    @env.tool(blocking=False)
    def double(number: int) -> int:
        return 2 * number

    @env.scenario()
    async def ask() -> Any:
        four = await env.call_tool("double", number=2)
        answer = yield four.text
        yield (await env.call_tool(ToolCall("double", {"number": 4}))).text == answer

    async with opened(env) as session:
        assert (await session.setup("ask", {})).text == "4"
        assert (await session.grade(Answer(text="8"))).reward == 1.0


async def test_a_failing_tool_raises_in_scenario_code(env: Environment) -> None:
    @env.scenario()
    async def ask() -> Any:
        await env.call_tool("missing")
        yield "?"
        yield 1

    with pytest.raises(ToolError, match="unknown tool 'missing'"):
        await env.session().setup("ask", {})


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["read_file", "write_file", "run"]),
        ({"exclude_tools": ["*_file"]}, ["run"]),
        ({"exclude_tools": ["*"], "allowed_tools": ["read_*"]}, ["read_file"]),
        ({"exclude_sources": ["__local__"]}, []),
        ({"exclude_sources": ["__local__"], "allowed_tools": ["run"]}, ["run"]),
    ],
)
async def test_which_tools_a_scenario_shows(env: Environment, options: dict[str, Any], shown: list[str]) -> None:
    for name in ("read_file", "write_file", "run"):
        env.tool(name, blocking=False)(lambda: "done")

    @env.scenario(**options)
    async def ask() -> Any:
        yield (await env.call_tool("run")).text
        yield (await env.call_tool("run")).text == "done"

    async with opened(env) as session:
        assert (await session.setup("ask", {})).text == "done"
        assert [tool.name for tool in await session.tools.list_tools()] == shown
        for name in ("read_file", "write_file", "run"):
            result = await session.tools.call_tool(ToolCall(name))
            assert result.is_error == (name not in shown)
        assert (await session.grade(Answer())).reward == 1.0


def holding(log, error=None):
    env = Environment("holding")

    @env.scenario()
    async def holds():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            try:
                yield "prompt"
                yield 1.0
            finally:
                log.append("closed")
                if error is not None:
                    raise error

    return env


@pytest.mark.parametrize("is_graded", [False, True])
async def test_a_task_group_that_a_scenario_holds_open_is_closed_without_an_error(is_graded):
    log = []
    session = holding(log).session()
    await session.setup("holds", {})
    if is_graded:
        assert (await session.grade(Answer(text=""))).reward == 1.0
    await session.aclose()
    assert log == ["closed"]


async def test_a_cancelled_session_closes_the_task_group_that_its_scenario_holds_open():
    log = []
    with anyio.CancelScope() as scope:
        session = holding(log).session()
        await session.setup("holds", {})
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            await session.aclose()
    assert log == ["closed"]


async def test_what_fails_while_a_task_group_is_closed_is_raised():
    session = holding([], error=RuntimeError("the teardown broke")).session()
    await session.setup("holds", {})
    with pytest.raises(RuntimeError, match="the teardown broke"):
        await session.aclose()
