"""Tools, calls and results in the forms of model APIs, as plain data."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hud
from hud.environment import ToolFormat, format_result, parse_tool_call, parse_tool_calls
from hud_core import (
    ArgumentError,
    ConfigError,
    Environment,
    ImageContent,
    ResourceContent,
    TextContent,
    ToolCall,
    ToolError,
    ToolResult,
)
from hud_core.environment.calls import MalformedCall
from hud_core.job.backends import connected

PIXEL = "iVBORw0KGgo="
CALLS = {
    ToolFormat.OPENAI: lambda name, arguments: {
        "id": "c1", "type": "function", "function": {"name": name, "arguments": arguments},
    },
    ToolFormat.OPENAI_RESPONSES: lambda name, arguments: {
        "id": "fc_1", "type": "function_call", "call_id": "c1", "name": name, "arguments": arguments,
    },
    ToolFormat.CLAUDE: lambda name, arguments: {"type": "tool_use", "id": "c1", "name": name, "input": arguments},
    ToolFormat.GEMINI: lambda name, arguments: {"function_call": {"id": "c1", "name": name, "args": arguments}},
    ToolFormat.MCP: lambda name, arguments: {"id": "c1", "name": name, "arguments": arguments},
}  # fmt: skip
ANSWERS: dict[ToolFormat, Any] = {
    ToolFormat.OPENAI: {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ToolFormat.OPENAI_RESPONSES: {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ToolFormat.CLAUDE: {"type": "tool_result", "tool_use_id": "c1", "content": "3"},
    ToolFormat.GEMINI: {"function_response": {"id": "c1", "name": "count", "response": {"result": "3"}}},
}
ERRORS: dict[ToolFormat, Any] = {
    ToolFormat.OPENAI: {"role": "tool", "tool_call_id": "c1", "content": "[tool error] no such word"},
    ToolFormat.OPENAI_RESPONSES: {
        "type": "function_call_output", "call_id": "c1", "output": "[tool error] no such word",
    },
    ToolFormat.CLAUDE: {"type": "tool_result", "tool_use_id": "c1", "content": "no such word", "is_error": True},
    ToolFormat.GEMINI: {"function_response": {"id": "c1", "name": "count", "response": {"error": "no such word"}}},
}  # fmt: skip


@pytest.fixture
def env() -> Environment:
    env = Environment("words")

    @env.tool
    def count(text: str, letter: str = "r") -> int:
        """Count a letter."""
        if not text:
            raise ToolError("no such word")
        return text.count(letter)

    @env.tool
    def picture() -> list[Any]:
        """Take a picture."""
        return [TextContent(text="look"), ImageContent(data=PIXEL)]

    @env.tool(name="_internal")
    def internal() -> None: ...

    @env.scenario()
    async def ask():
        yield "How many?"
        yield 1.0

    return env


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_models_call_is_answered_in_its_own_form(kind: ToolFormat, env: Environment) -> None:
    arguments = {"text": "strawberry"}
    call = CALLS[kind]("count", arguments)
    assert await env.call_tool(call) == ANSWERS[kind]
    async with hud.eval(env("ask")) as ctx:
        assert await ctx.call_tool(call) == ANSWERS[kind]
        assert await ctx.call_tool(CALLS[kind]("count", {"text": ""})) == ERRORS[kind]
        as_text = CALLS[kind]("count", json.dumps(arguments))
        assert await ctx.call_tool(as_text) == ANSWERS[kind]
        assert next(event.call for event in ctx.events if event.type == "tool_called").arguments == arguments


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_error_of_an_environments_tool_is_told_and_not_raised(kind: ToolFormat, env: Environment) -> None:
    assert await env.call_tool(CALLS[kind]("count", {"text": ""})) == ERRORS[kind]
    with pytest.raises(ToolError, match="no such word"):
        await env.call_tool("count", text="")
    with pytest.raises(ToolError, match="no such word"):
        await env.call_tool(ToolCall("count", {"text": ""}))


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("arguments", ['{"text": "straw', "[1]", '{"text": NaN}', ["text"], 3])
async def test_malformed_arguments_are_told_to_the_model(kind: ToolFormat, arguments: object, env: Environment) -> None:
    async with hud.eval(env("ask")) as ctx:
        told = json.dumps(await ctx.call_tool(CALLS[kind]("count", arguments)))
        assert "tool 'count' was not called" in told
        assert "c1" in told
        assert not [event for event in ctx.events if event.type == "tool_called"]
        assert any("was not called" in event.text for event in ctx.events if event.type == "log_line")


async def test_plain_calls_give_results(env: Environment) -> None:
    async with hud.eval(env("ask")) as ctx:
        for call in (ToolCall("count", {"text": "pear"}), {"name": "count", "arguments": {"text": "pear"}}):
            result = await ctx.call_tool(call)
            assert isinstance(result, ToolResult)
            assert result.text == "1"
        assert (await ctx.call_tool("count", text="pear")).text == "1"
        assert (await ctx.call_tool(("count", {"text": "pear"}, "c7"))).call_id == "c7"
        assert (await ctx.call_tool("count", text="")).is_error
        with pytest.raises(ConfigError, match="has its arguments with it"):
            await ctx.call_tool({"name": "count"}, text="pear")


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), json_data, max_size=3), st.text(min_size=1), st.sampled_from(sorted(CALLS)))
def test_calls_of_every_form_are_read_without_loss(arguments: dict[str, Any], name: str, kind: ToolFormat) -> None:
    for given_as in (arguments, json.dumps(arguments)):
        call, found = parse_tool_call(CALLS[kind](name, given_as))
        assert (call, found) == (ToolCall(name, arguments, "c1"), kind)


@pytest.mark.parametrize(
    "call",
    [
        {"functionCall": {"name": "count", "args": {"text": "a"}}},
        {"name": "count", "args": {"text": "a"}},
        {"function_call": {"name": "count", "args": {"text": "a"}}, "thought_signature": b"x"},
    ],
)
def test_geminis_calls_are_read_in_every_case(call: Any) -> None:
    assert parse_tool_call(call) == (ToolCall("count", {"text": "a"}), ToolFormat.GEMINI)


@pytest.mark.parametrize(
    "call",
    [
        {"foo": 1}, {}, 3, None, [], (), (1, 2), {"type": "tool_use"}, {"function": {"arguments": "{}"}}, {"name": 3},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "custom", "id": "c1", "custom": {"name": "count", "input": "x"}},
        {"type": "mcp_call", "id": "m1", "name": "count", "arguments": "{}"},
    ],
)  # fmt: skip
async def test_what_is_no_tool_call_is_an_error_that_says_so(call: Any, env: Environment) -> None:
    with pytest.raises(ArgumentError, match=r"expected a name, a ToolCall or a tool call of openai, .*; got "):
        await env.call_tool(call)


def test_a_reply_is_read_without_what_stands_beside_its_calls() -> None:
    calls = [CALLS[kind]("count", {}) for kind in CALLS]
    beside = [
        {"type": "text", "text": "Let me see."}, {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, {"type": "reasoning", "id": "r"},
        {"type": "message", "content": []}, {"text": "hm", "thought": True}, {"inline_data": {"data": PIXEL}},
    ]  # fmt: skip
    assert [kind for _, kind in parse_tool_calls([*beside, *calls])] == [*CALLS]
    assert parse_tool_calls(None) == parse_tool_calls(beside) == []
    assert parse_tool_calls(calls[0]) == [parse_tool_call(calls[0])]
    with pytest.raises(ArgumentError, match="got \\['foo'\\]"):
        parse_tool_calls([{"foo": 1}])


async def test_all_calls_of_a_reply_are_made_at_once_and_answered_in_order(env: Environment) -> None:
    calls = [CALLS[kind]("count", {"text": "strawberry"}) for kind in ANSWERS]
    async with hud.eval(env("ask")) as ctx:
        assert await ctx.call_tools([{"type": "text", "text": "now"}, *calls]) == [ANSWERS[kind] for kind in ANSWERS]
        assert await ctx.call_tools(None) == []


# --- results ----------------------------------------------------------------------------------------------------------


async def test_pictures_are_sent_where_the_api_takes_them(env: Environment) -> None:
    sent = {kind: await env.call_tool(CALLS[kind]("picture", {})) for kind in ANSWERS}
    assert sent[ToolFormat.CLAUDE]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]
    assert sent[ToolFormat.OPENAI_RESPONSES]["output"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
    ]
    assert sent[ToolFormat.GEMINI]["function_response"]["parts"] == [
        {"inline_data": {"mime_type": "image/png", "data": PIXEL}}
    ]
    assert sent[ToolFormat.OPENAI]["content"] == "look\n[image/png, 9 bytes, not shown]"


def told(kind: ToolFormat, **result: Any) -> str:
    return json.dumps(format_result(ToolResult(**result), ToolCall("t", {}, "c1"), kind))


@pytest.mark.parametrize("kind", ANSWERS)
def test_nothing_of_a_result_is_lost_in_silence(kind: ToolFormat) -> None:
    assert '{\\"a\\": 1}' in told(kind, structuredContent={"a": 1})
    document = ResourceContent(uri="file:///a.pdf", data=PIXEL, mimeType="application/pdf")
    assert "application/pdf" in told(kind, content=(document,))
    assert "file:///b.txt" in told(kind, content=(ResourceContent(uri="file:///b.txt"),))
    failed = told(kind, content=(ImageContent(data=PIXEL),), isError=True)
    assert "error" in failed


def test_format_result_gives_a_plain_call_its_result() -> None:
    result = ToolResult(content=[TextContent(text="3")])
    call, kind = parse_tool_call("count", text="a")
    assert format_result(result, call, kind) is result
    malformed = MalformedCall(name="t", id="c1", raw="{", problem="invalid JSON")
    assert format_result(malformed.result, malformed, ToolFormat.CLAUDE)["is_error"] is True


# --- tools ------------------------------------------------------------------------------------------------------------

COUNT = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "letter": {"type": "string", "default": "r"}},
    "additionalProperties": False,
    "required": ["text"],
}


async def test_a_rollout_knows_its_tools_once_it_is_entered(env: Environment) -> None:
    context = hud.eval(env("ask"))
    async with context as ctx:
        assert [tool.name for tool in ctx.as_tools()] == ["count", "picture"]
        assert ctx.as_tools() == await ctx.list_tools()
        assert [tool["function"]["name"] for tool in ctx.as_openai_chat_tools()] == ["count", "picture"]
        env.tool(lambda: 1, name="late")
        assert len(ctx.as_tools()) == 2
        await ctx.list_tools()
        assert [tool.name for tool in ctx.as_tools()] == ["count", "picture", "late"]
    assert [tool["name"] for tool in env.as_claude_tools()] == ["count", "picture", "late"]


async def test_before_a_rollout_is_entered_its_tools_are_not_known(env: Environment) -> None:
    async with hud.eval([env("ask")]) as batch:
        with pytest.raises(ConfigError, match="the tools are not known before the block is entered"):
            batch.contexts[0].as_openai_chat_tools()


async def test_a_task_that_hides_tools_hides_them_here_too(env: Environment) -> None:
    task = env("ask")
    task.agent_config = {"disallowed_tools": ["pic*"]}
    async with hud.eval(task) as ctx:
        assert [tool["name"] for tool in ctx.as_claude_tools()] == ["count"]
        refused = await ctx.call_tool(CALLS[ToolFormat.CLAUDE]("picture", {}))
        assert refused["content"] == "unknown tool 'picture'; there are count"


def test_the_tools_have_each_apis_shape(env: Environment) -> None:
    count = {"name": "count", "description": "Count a letter."}
    assert env.as_openai_chat_tools()[0] == {"type": "function", "function": {**count, "parameters": COUNT}}
    assert env.as_openai_responses_tools()[0] == {
        "type": "function", **count, "parameters": COUNT, "strict": False,
    }  # fmt: skip
    assert env.as_claude_tools()[0] == {**count, "input_schema": COUNT}
    assert env.as_claude_programmatic_tools()[0] == {
        **count, "input_schema": COUNT, "allowed_callers": ["code_execution_20250825"],
    }  # fmt: skip
    schema = {key: value for key, value in COUNT.items() if key != "additionalProperties"}
    (gemini,) = env.as_gemini_tools()
    assert gemini["function_declarations"][0] == {**count, "parameters": schema}
    assert Environment("empty").as_gemini_tools() == Environment("empty").as_claude_tools(cache_control=True) == []


def test_strict_tools_require_every_parameter(env: Environment) -> None:
    @env.tool
    def store(values: dict[str, int]) -> None: ...

    count, picture, store_ = (tool["function"] for tool in env.as_openai_chat_tools(strict=True))
    assert count["strict"] is True
    assert count["parameters"]["required"] == ["text", "letter"]
    assert "default" not in count["parameters"]["properties"]["letter"]
    assert picture["parameters"] == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert "strict" not in store_
    assert [tool["strict"] for tool in env.as_openai_responses_tools(strict=True)] == [True, True, False]


def test_one_mark_caches_all_of_claudes_tools(env: Environment) -> None:
    marked = [tool.get("cache_control") for tool in env.as_claude_tools(cache_control=True)]
    assert marked == [None, {"type": "ephemeral"}]
    assert [tool.get("cache_control") for tool in env.as_claude_programmatic_tools(cache_control=True)] == marked


def test_what_geminis_schema_cannot_say_goes_as_json_schema(env: Environment) -> None:
    @env.tool
    def plain(a: list[int], b: float | None = None) -> None: ...

    @env.tool
    def free(values: dict[str, int]) -> None: ...

    @env.tool
    def choose(size: Literal[1, 2]) -> None: ...

    functions = {tool["name"]: tool for tool in env.as_gemini_tools()[0]["function_declarations"]}
    assert functions["plain"]["parameters"]["properties"]["a"] == {"type": "array", "items": {"type": "integer"}}
    for name in ("free", "choose"):
        assert "parameters" not in functions[name]
        assert functions[name]["parameters_json_schema"]["additionalProperties"] is False


def test_what_is_offered_is_the_callers_own(env: Environment) -> None:
    for offered in (env.as_claude_tools()[0]["input_schema"], env.as_openai_chat_tools()[0]["function"]["parameters"]):
        offered["properties"].clear()
    env.as_gemini_tools()[0]["function_declarations"][0]["parameters"]["properties"].clear()
    assert env.as_tools()[0].input_schema == COUNT


async def test_names_that_an_api_refuses_are_changed_and_changed_back(env: Environment) -> None:
    letters = Environment("letters")

    @letters.tool
    def upper(text: str) -> str:
        return text.upper()

    @env.tool(name="letters_upper")
    def other() -> str:
        return "the other one"

    def rename(tool: Any) -> Any:
        from attrs import evolve

        return evolve(tool, name="letters.upper")

    env.connect(letters, transform=rename)
    async with connected(env.session()), hud.eval(env("ask")) as ctx:
        names = [tool["name"] for tool in ctx.as_claude_tools()]
        assert "letters.upper" in [tool.name for tool in ctx.as_tools()]
        assert names == ["count", "picture", "letters_upper", "letters_upper_2"]
        answers = [await ctx.call_tool(CALLS[ToolFormat.CLAUDE](names[3], {"text": "a"}))]
        answers += [await ctx.call_tool(CALLS[ToolFormat.CLAUDE](names[2], {}))]
        assert [answer["content"] for answer in answers] == ["A", "the other one"]
        config = ctx.as_gemini_tool_config("ANY", ["letters.upper"])
        assert config["function_calling_config"]["allowed_function_names"] == ["letters_upper_2"]


def test_geminis_tool_config(env: Environment) -> None:
    assert env.as_gemini_tool_config() == {"function_calling_config": {"mode": "AUTO"}}
    assert env.as_gemini_tool_config("ANY", allowed_tools=["count"]) == {
        "function_calling_config": {"mode": "ANY", "allowed_function_names": ["count"]}
    }
    for mode, allowed, problem in (
        ("any", None, "mode must be one of AUTO, ANY, NONE, VALIDATED, got 'any'"),
        ("AUTO", ["count"], "allowed_tools needs mode 'ANY' or 'VALIDATED', got 'AUTO'"),
        ("ANY", ["coutn"], "there is no tool 'coutn' to allow; did you mean 'count'?"),
    ):
        with pytest.raises(ConfigError) as caught:
            env.as_gemini_tool_config(mode, allowed)
        assert str(caught.value) == problem


async def test_the_runner_answers_claudes_blocks(env: Environment) -> None:
    async with hud.eval(env("ask")) as ctx:
        runner = ctx.as_anthropic_runner()
        assert runner.tool_names == ["count", "picture"]
        block = CALLS[ToolFormat.CLAUDE]("count", {"text": "strawberry"})
        assert await runner.run(block) == ANSWERS[ToolFormat.CLAUDE]


@pytest.mark.parametrize("framework", ["langchain", "llamaindex", "adk", "openai_agent"])
def test_without_the_plugin_for_frameworks_it_is_named(
    framework: str, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hud_frameworks", None)
    with pytest.raises(ImportError, match=r"pip install 'hud-frameworks\[[a-z-]+\]'"):
        getattr(env, f"as_{framework}_tools")()


def test_a_failed_call_gives_claude_text_alone_and_no_image_that_the_api_refuses() -> None:
    picture = (TextContent(text="look"), ImageContent(data=PIXEL))
    failed = format_result(ToolResult(content=picture, isError=True), ToolCall("picture", {}, "c1"), ToolFormat.CLAUDE)
    assert [part["type"] for part in failed["content"]] == ["text", "text"]
    drawing = ToolResult(content=(ImageContent(data=PIXEL, mimeType="image/svg+xml"),))
    [part] = format_result(drawing, ToolCall("picture", {}, "c1"), ToolFormat.CLAUDE)["content"]
    assert part["type"] == "text"
    assert part["text"].startswith("[image/svg+xml, ")
