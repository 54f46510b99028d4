"""Functions as tools: declaring them, what they return, what their errors become, where they run."""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
import sys
import threading
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import anyio
import attrs
import pydantic
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import BackendError, DefinitionError, ToolError
from hud_core.model.content import ImageContent, TextContent
from hud_core.model.tools import ToolCall, ToolResult


@dataclass
class Item:
    sku: str


@attrs.frozen
class Attrs:
    x: int


class Model(pydantic.BaseModel):
    x: int
    when: dt.date = dt.date(2026, 1, 2)


class Colour(Enum):
    RED = "red"


class Blocks:
    """What gives content blocks by itself."""

    def __repr__(self) -> str:
        return "Blocks()"

    def to_content_blocks(self) -> list[TextContent]:
        return [TEXT]


class Array:
    """What numpy's arrays and numbers look like."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Array({self.value})"

    def tolist(self) -> Any:
        return self.value


TEXT = TextContent(text="hi")
IMAGE = ImageContent(data="aGk=")


@pytest.fixture
def env() -> Environment:
    return Environment("tools")


async def result_of(env: Environment, value: Any) -> ToolResult:
    env.tool("give", blocking=False)(lambda: value)
    return await env.session().tools.call_tool(ToolCall("give", id="call-1"))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", (TextContent(text="text"),)),
        ("", (TextContent(text=""),)),
        (None, ()),
        (TEXT, (TEXT,)),
        (IMAGE, (IMAGE,)),
        ([TEXT, IMAGE], (TEXT, IMAGE)),
        (["look:", IMAGE], (TextContent(text="look:"), IMAGE)),
        (SimpleNamespace(type="image", data="aGk=", mimeType="image/png"), (IMAGE,)),
        (Blocks(), (TEXT,)),
        (ToolResult(content=(TEXT,)), (TEXT,)),
    ],
    ids=repr,
)
async def test_content_is_kept(env: Environment, value: Any, content: Any) -> None:
    result = await result_of(env, value)
    assert result == ToolResult(content=content, call_id="call-1")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (3, 3),
        (0.5, 0.5),
        (True, True),
        ([1, "a"], [1, "a"]),
        ([], []),
        (["a", "b"], ["a", "b"]),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        ({"a": {"b": [None]}}, {"a": {"b": [None]}}),
        ({"type": "text", "text": "x", "id": 5}, {"type": "text", "text": "x", "id": 5}),
        ([{"type": "text", "text": "x"}], [{"type": "text", "text": "x"}]),
        ({3: "x"}, {"3": "x"}),
        (Item("a"), {"sku": "a"}),
        ([Item("a")], [{"sku": "a"}]),
        (Attrs(1), {"x": 1}),
        (Model(x=1), {"x": 1, "when": "2026-01-02"}),
        ({"m": [Model(x=1)]}, {"m": [{"x": 1, "when": "2026-01-02"}]}),
        (Colour.RED, "red"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Array([1, 2]), [1, 2]),
        ({"n": Array(3)}, {"n": 3}),
        (math.nan, None),
        ({"a": math.inf}, {"a": None}),
        (10**30, 10**30),
    ],
    ids=repr,
)
async def test_data_is_json_text_and_structured_content(env: Environment, value: Any, data: Any) -> None:
    result = await result_of(env, value)
    assert not result.is_error
    assert json.loads(result.text) == data
    assert result.structured_content == (data if isinstance(data, dict) else {"result": data})


async def test_mcps_own_result_is_kept(env: Environment) -> None:
    value = SimpleNamespace(content=[SimpleNamespace(type="text", text="no")], structuredContent={"a": 1}, isError=True)
    result = await result_of(env, value)
    assert result == ToolResult(
        content=(TextContent(text="no"),), structuredContent={"a": 1}, isError=True, call_id="call-1"
    )


async def test_a_value_without_json_form_is_an_error_for_the_agent(env: Environment) -> None:
    result = await result_of(env, object())
    assert result.is_error
    assert result.text == "tool 'give' failed: TypeError: object has no JSON form"


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "thread", "loop"])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ToolError("the door is locked"), "the door is locked"),
        (ValueError("bad"), "tool 'fail' failed: ValueError: bad"),
        (KeyError("k"), "tool 'fail' failed: KeyError: 'k'"),
        (ExceptionGroup("two", [ValueError("a"), OSError("b")]), "tool 'fail' failed: ValueError: a; OSError: b"),
        (StopIteration(), "StopIteration"),
        (SystemExit(3), "SystemExit: 3"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
    ids=repr,
)
async def test_an_exception_is_a_result(env: Environment, kind: str, error: BaseException, text: str) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    env.add_tool(fail_later if kind == "async" else fail, name="fail", blocking=kind == "thread")
    result = await env.session().tools.call_tool(ToolCall("fail", id="7"))
    assert (result.is_error, result.call_id) == (True, "7")
    assert text in result.text


async def test_a_lost_backend_is_no_result(env: Environment) -> None:
    @env.tool
    async def lost() -> None:
        raise BackendError("gone")

    with pytest.raises(BackendError, match="gone"):
        await env.session().tools.call_tool(ToolCall("lost"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "tool 'double': missing parameter 'number', expected int"),
        ({"number": "2"}, "tool 'double': parameter 'number': expected int, got str '2'"),
        ({"number": 2, "times": 3}, "tool 'double': unknown parameter 'times'; it takes number"),
        ([2], "tool 'double': arguments must be an object, got list"),
        ("2", "tool 'double': arguments must be an object, got str"),
    ],
)
async def test_wrong_arguments_are_a_result(env: Environment, arguments: Any, text: str) -> None:
    @env.tool
    async def double(number: int) -> int:
        return 2 * number

    result = await env.session().tools.call_tool(ToolCall("double", arguments))
    assert (result.is_error, result.text) == (True, text)


async def test_cancellation_goes_through(env: Environment) -> None:
    with anyio.CancelScope() as scope:

        @env.tool
        async def wait() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        await env.session().tools.call_tool(ToolCall("wait"))
    assert scope.cancelled_caught


# --- where functions run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "in_thread"), [({}, True), ({"blocking": False}, False)])
async def test_sync_functions_run_in_a_thread_unless_they_do_not_block(
    env: Environment, options: dict[str, Any], in_thread: bool
) -> None:
    @env.tool(**options)
    def where() -> bool:
        return threading.current_thread() is not threading.main_thread()

    assert (await env.call_tool("where")).structured_content == {"result": in_thread}


async def test_async_functions_run_on_the_loop_in_every_form(env: Environment) -> None:
    class Object:
        async def __call__(self) -> bool:
            return threading.current_thread() is threading.main_thread()

        async def method(self) -> bool:
            return threading.current_thread() is threading.main_thread()

    tool = Object()
    env.add_tool(tool)
    env.add_tool(tool.method)
    env.add_tool(functools.partial(tool.method), name="partial")
    env.tool("lambda")(lambda: tool.method())  # noqa: PLW0108  a sync function that gives something to await
    for name in ("object", "method", "partial", "lambda"):
        assert (await env.call_tool(name)).text == "true", name


async def test_a_blocked_thread_does_not_block_the_others(env: Environment) -> None:
    gate, said = threading.Event(), []

    @env.tool
    def wait() -> str:
        said.append("waiting")
        return "opened" if gate.wait(60) else "stuck"

    @env.tool(blocking=False)
    def go() -> None:
        gate.set()

    async def call() -> None:
        said.append((await env.call_tool("wait")).text)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        while not said:
            await anyio.sleep(0.01)
        await env.call_tool("go")
    assert said == ["waiting", "opened"]


# --- tools that call tools --------------------------------------------------------------------------------------------


async def test_a_tool_reaches_the_tools_of_its_own_session(env: Environment) -> None:
    @env.tool
    async def outer(number: int) -> str:
        return (await env.call_tool("inner", number=number)).text

    @env.tool
    async def inner(number: int) -> int:
        return number + 1

    assert (await env.session().tools.call_tool(ToolCall("outer", {"number": 1}))).text == "2"


async def test_a_tool_reaches_tools_that_the_scenario_hides(env: Environment) -> None:
    @env.tool
    async def outer() -> str:
        return (await env.call_tool("secret")).text

    @env.tool
    async def secret() -> str:
        return "found"

    @env.scenario(exclude_tools=["secret"])
    async def ask() -> Any:
        yield "?"
        yield 1

    session = env.session()
    await session.setup("ask", {})
    assert (await session.tools.call_tool(ToolCall("outer"))).text == "found"
    assert (await session.tools.call_tool(ToolCall("secret"))).text == "unknown tool 'secret'; there are outer"
    await session.aclose()


async def test_another_environments_tools_stay_its_own(env: Environment) -> None:
    other = Environment("other")

    @other.tool
    async def name() -> str:
        return "other"

    @env.tool("name")
    async def own_name() -> str:
        return "own"

    @env.tool
    async def both() -> list[str]:
        return [(await env.call_tool("name")).text, (await other.call_tool("name")).text]

    assert (await env.call_tool("both")).structured_content == {"result": ["own", "other"]}


async def test_an_unknown_tool_is_a_result_that_names_the_others(env: Environment) -> None:
    env.tool("known")(lambda: None)
    result = await env.session().tools.call_tool(ToolCall("unknown", id="1"))
    assert (result.is_error, result.call_id) == (True, "1")
    assert result.text == "unknown tool 'unknown'; there are known"


# --- declaring --------------------------------------------------------------------------------------------------------


def test_every_way_to_declare_a_tool(env: Environment) -> None:
    def function(number: int) -> int:
        """Double it."""
        return 2 * number

    assert env.tool(function) is function
    assert env.tool()(function_named(function, "second")).__name__ == "second"
    assert env.tool("third")(function) is function
    assert env.tool(name="fourth", description="Said.", meta={"a": 1}, title="Fourth", tags={"x"})(function) is function
    env.add_tool(function, name="fifth")
    env.tool(function, name="sixth")
    assert [tool.name for tool in env.as_tools()] == ["function", "second", "third", "fourth", "fifth", "sixth"]
    fourth = env.tool_functions["fourth"].tool
    assert (fourth.description, fourth.meta) == ("Said.", {"title": "Fourth", "tags": ["x"], "a": 1})
    assert env.tool_functions["third"].tool.description == "Double it."


def function_named(function: Any, name: str) -> Any:
    copy = functools.partial(function).func

    @functools.wraps(copy)
    def renamed(number: int) -> Any:
        return copy(number)

    renamed.__name__ = name
    return renamed


async def yields() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("options", "function", "said"),
    [
        ({"name": "no space"}, len, "tool name 'no space' must be"),
        ({"name": "x" * 129}, len, "must be 1 to 128"),
        ({"descripton": "x"}, len, "a tool has no option 'descripton'; did you mean 'description'?"),
        ({}, yields, "tool 'yields' must return its result, but it yields"),
        ({"name": "x"}, lambda *items: items, r"*items"),
        ({"name": "x"}, lambda value=sys: value, None),
    ],
)
def test_mistakes(env: Environment, options: dict[str, Any], function: Any, said: str | None) -> None:
    if said is None:
        env.tool(**options)(function)
        return
    with pytest.raises(DefinitionError) as caught:
        env.tool(**options)(function if function is not len else lambda: 1)
    assert said in str(caught.value)
    assert env.as_tools() == []


def test_a_tool_name_that_is_taken(env: Environment) -> None:
    env.tool("one")(lambda: 1)
    with pytest.raises(DefinitionError, match="'tools' already has a tool 'one'"):
        env.tool("one")(lambda: 2)


def test_a_tool_that_is_no_function(env: Environment) -> None:
    with pytest.raises(DefinitionError, match="takes a function or a name, got 3"):
        env.tool(3)  # type: ignore[call-overload]


async def test_internal_tools_are_not_shown_and_can_be_called(env: Environment) -> None:
    env.tool("_hidden")(lambda: "there")
    assert env.as_tools() == []
    assert (await env.call_tool("_hidden")).text == "there"
