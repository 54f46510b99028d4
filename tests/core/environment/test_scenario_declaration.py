"""Declaring scenarios, binding arguments to them, and driving their generators by hand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pydantic
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import ArgumentError, DefinitionError, SetupError
from hud_core.model.task import Task


class Difficulty(Enum):
    EASY = "easy"


@dataclass
class Item:
    sku: str
    count: int = 1


class Config(pydantic.BaseModel):
    depth: int = 1


@pytest.fixture
def env() -> Environment:
    return Environment("shop")


async def two_yields(word: str, letter: str = "r", *, strict: bool = False) -> Any:
    """Count a letter."""
    answer = yield f"How many {letter} in {word}?"
    yield float(str(word.count(letter)) in answer)


def test_name_and_description_come_from_the_function(env: Environment) -> None:
    handle = env.scenario()(two_yields)
    assert (handle.name, handle.description) == ("two_yields", "Count a letter.")
    assert handle.__name__ == "two_yields"
    assert env.scenarios == {"two_yields": handle}


def test_name_and_description_can_be_given(env: Environment) -> None:
    handle = env.scenario("count", description="Given.")(two_yields)
    assert (handle.name, handle.description) == ("count", "Given.")


def test_a_scenario_without_docstring_is_described_by_its_name(env: Environment) -> None:
    @env.scenario()
    async def plain() -> Any:
        yield "?"
        yield 1

    assert plain.description == "Scenario: plain"


async def test_calling_the_handle_gives_the_raw_generator(env: Environment) -> None:
    handle = env.scenario("count")(two_yields)
    generator = handle("strawberry", letter="r")
    assert await anext(generator) == "How many r in strawberry?"
    assert await generator.asend("3") == 1.0
    await generator.aclose()


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_positional_and_named_arguments_and_defaults_make_the_task(env: Environment) -> None:
    handle = env.scenario("count")(two_yields)
    for task in (
        handle.task("strawberry"),
        handle.task(word="strawberry"),
        env("count", word="strawberry"),
        env("shop:count", word="strawberry"),
    ):
        assert isinstance(task, Task)
        assert (task.env, task.scenario) == (env, "count")
        assert task.args == {"word": "strawberry", "letter": "r", "strict": False}


def test_rich_arguments_travel_as_json(env: Environment) -> None:
    @env.scenario()
    async def buy(
        items: list[Item],
        config: Config,
        difficulty: Difficulty,
        pair: tuple[int, int] = (1, 2),
        limit: int | None = None,
    ) -> Any:
        yield "?"
        yield 1

    task = buy.task([Item("a")], config=Config(), difficulty=Difficulty.EASY)
    assert task.args == {
        "items": [{"sku": "a", "count": 1}],
        "config": {"depth": 1},
        "difficulty": "easy",
        "pair": [1, 2],
        "limit": None,
    }
    assert buy.task(**task.args).args == task.args


def test_tasks_share_no_arguments(env: Environment) -> None:
    @env.scenario()
    async def ask(words: list[str] = ["a"]) -> Any:  # noqa: B006  that is what is tested
        yield "?"
        yield 1

    given = ["x"]
    first, second, third = ask.task(), ask.task(), ask.task(given)
    for task in (first, third):
        assert task.args is not None
        task.args["words"].append("b")
    assert (second.args, given) == ({"words": ["a"]}, ["x"])


def test_parameters_may_have_any_name(env: Environment) -> None:
    @env.scenario()
    async def ask(self: int, name: str, scenario: str, args: int, arguments: int) -> Any:
        yield "?"
        yield 1

    given = {"self": 1, "name": "n", "scenario": "s", "args": 2, "arguments": 3}
    assert ask.task(**given).args == given
    assert env("ask", **given).args == given


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing parameter 'word', expected str"),
        ((3,), {}, "parameter 'word': expected str, got int 3"),
        (("a",), {"lettre": "r"}, "unknown parameter 'lettre'; it takes word, letter, strict; did you mean 'letter'?"),
        (("a",), {"word": "b"}, "parameter 'word' is given twice"),
        (("a", "b", True), {}, "takes 2 positional arguments, got 3"),
        (("a",), {"strict": 1}, "parameter 'strict': expected bool, got int 1"),
        ((object(),), {}, "parameter 'word' is not JSON data: object has no JSON form"),
    ],
)
def test_wrong_arguments_are_told_when_the_task_is_made(
    env: Environment, args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    handle = env.scenario("count")(two_yields)
    with pytest.raises(ArgumentError) as caught:
        handle.task(*args, **kwargs)
    assert str(caught.value) == f"scenario 'count': {said}"
    with pytest.raises(TypeError):  # what callers of plain functions expect
        handle.task(*args, **kwargs)


def test_a_scenario_elsewhere_takes_any_arguments(env: Environment) -> None:
    assert env("remote:scenario", anything=1).args == {"anything": 1}


# --- mistakes at decoration -------------------------------------------------------------------------------------------


async def coroutine() -> int:
    return 1


def generator() -> Any:
    yield 1


def plain() -> int:
    return 1


async def asks_with_type(value: type) -> Any:
    yield "?"
    yield 1


@pytest.mark.parametrize(
    ("options", "function", "said"),
    [
        ({}, coroutine, "'coroutine' is a coroutine function without yield"),
        ({}, generator, "'generator' is a generator function without async"),
        ({}, plain, "'plain' is a plain function"),
        ({}, 3, "3 is a int"),
        ({}, asks_with_type, "parameter 'value' of type type is not JSON-serializable"),
        ({"name": "a:b"}, two_yields, "has no ':', got 'a:b'"),
        ({"name": 3}, two_yields, "must be a str"),
        ({"chat": True}, two_yields, "with chat=True must take a parameter 'messages'"),
        ({"returns": type}, two_yields, "scenario 'two_yields': returns=type has no JSON form"),
        ({"retuns": int}, two_yields, "no option 'retuns'; did you mean 'returns'?"),
        ({"exclude_tools": "bash"}, two_yields, "expected a list of str, got 'bash'"),
        ({"allowed_tools": [1]}, two_yields, "expected a list of str, got [1]"),
    ],
)
def test_mistakes(env: Environment, options: dict[str, Any], function: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        env.scenario(**options)(function)
    assert said in str(caught.value)
    assert env.scenarios == {}


def test_missing_parentheses(env: Environment) -> None:
    with pytest.raises(DefinitionError, match=r"write @env.scenario\(\) with parentheses above 'two_yields'"):
        env.scenario(two_yields)  # type: ignore[arg-type]


def test_a_name_that_is_taken(env: Environment) -> None:
    env.scenario("count")(two_yields)
    with pytest.raises(DefinitionError, match="'shop' already has a scenario 'count'"):
        env.scenario("count")(two_yields)


def test_a_chat_scenario_takes_messages(env: Environment) -> None:
    @env.scenario(chat=True)
    async def talk(messages: list[dict[str, Any]]) -> Any:
        yield messages
        yield 1

    assert talk.options.chat


async def test_a_scenario_of_another_environment_is_not_taken_for_ones_own() -> None:
    env = Environment("mine")

    @env.scenario()
    async def ask(word: str):
        yield word
        yield 1.0

    assert env("mine:ask", word="a").scenario == "ask"
    assert env("theirs:ask", other=1).scenario == "theirs:ask"
    with pytest.raises(SetupError, match="has no scenario 'theirs:ask'"):
        await env.session().setup("theirs:ask", {"word": "a"})
