from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import AudioContent, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Usage
from hud_core.model.tools import ToolResult
from hud_openai import OpenAIChatAgent
from hud_openai.config import SAMPLING

PNG = base64.b64encode(b"a picture").decode()
Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


def agent_of(endpoint: Any, **options: Any) -> OpenAIChatAgent:
    return OpenAIChatAgent.create(**{"base_url": endpoint.url, "model": "m", **options})


# --- the loop, end to end ---------------------------------------------------------------------------------------------


async def test_a_whole_conversation(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"})), stub.say("3"))
    async with agent_of(server, system_prompt="be brief", temperature=0.5, api_key="sk-1") as agent:
        answer = await agent.run(ask("how many?", system="be exact"), toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    first, second = server.bodies
    assert first["model"] == "m"
    assert first["temperature"] == 0.5
    assert first["messages"] == [
        {"role": "system", "content": "be brief\n\nbe exact"},
        {"role": "user", "content": "how many?"},
    ]
    [tool] = first["tools"]
    assert tool["function"]["name"] == "count_letter"
    assert tool["function"]["description"] == "Count a letter in a text."
    assert set(tool["function"]["parameters"]["properties"]) == {"text", "letter"}
    said, told = second["messages"][2:]
    assert said["tool_calls"][0]["function"]["name"] == "count_letter"
    assert told == {"role": "tool", "tool_call_id": "call_0", "content": "3"}
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-1"}
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}


async def test_one_connection_serves_all_turns_and_rollouts(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    call = stub.call(("count_letter", {"text": "a", "letter": "a"}))
    server = endpoint(call, call, stub.say("a"), call, stub.say("b"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
        await agent.run(ask("y"), toolbox(count_letter))
    assert [request.connection for request in server.requests] == [0] * 5


async def test_an_agent_that_was_closed_may_be_used_again(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    agent = agent_of(server)
    for _ in range(2):
        assert (await agent.run(ask("x"), toolbox())).text == "ok"
        await agent.aclose()
    assert [request.connection for request in server.requests] == [0, 1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_agent_may_be_used_in_one_event_loop_after_the_other(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, backend: str
) -> None:
    agent = agent_of(endpoint(stub.say("ok")))
    for _ in range(2):
        assert anyio.run(agent.run, ask("x"), toolbox(), backend=backend).text == "ok"


async def test_calls_of_one_turn_run_at_once_and_are_told_in_their_order(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    gate = anyio.Event()

    async def first() -> str:
        await gate.wait()
        return "1"

    async def second() -> str:
        gate.set()
        return "2"

    server = endpoint(stub.call(("first", {}), ("second", {})), stub.say("ok"))
    with anyio.fail_after(60):
        async with agent_of(server) as agent:
            await agent.run(ask("x"), toolbox(first, second))
    assert [(m["tool_call_id"], m["content"]) for m in server.bodies[1]["messages"][2:]] == [
        ("call_0", "1"),
        ("call_1", "2"),
    ]


# --- images and other content -----------------------------------------------------------------------------------------


async def test_the_images_of_a_prompt_arrive(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("a cat"))
    content = (
        TextContent(text="what is it?"),
        ImageContent(data=PNG, mimeType="image/jpeg"),
        AudioContent(data=PNG, mimeType="audio/mpeg"),
        ResourceContent(uri="file:///a/b.pdf", data=PNG, mimeType="application/pdf"),
        ResourceContent(uri="file:///notes.txt", text="hi"),
    )
    async with agent_of(server) as agent:
        await agent.run(Prompt(messages=(Message(content=content),)), toolbox())
    assert server.bodies[0]["messages"][0]["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}},
        {"type": "file", "file": {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
        {"type": "text", "text": "file:///notes.txt\nhi"},
    ]


async def test_roles_are_kept(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    said = [("system", "rules"), ("user", "hi"), ("assistant", "hello"), ("user", "bye")]
    messages = tuple(Message(role=role, content=(TextContent(text=text),)) for role, text in said)  # type: ignore[arg-type]
    async with agent_of(server) as agent:
        await agent.run(Prompt(messages=messages), toolbox())
    assert [(m["role"], m["content"]) for m in server.bodies[0]["messages"]] == said


async def test_all_images_of_tool_results_arrive_and_each_names_its_call(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    def shot(n: int) -> list[Any]:
        images = [ImageContent(data=base64.b64encode(f"{n}{i}".encode()).decode()) for i in range(n)]
        return [TextContent(text=f"shot {n}"), *images]

    server = endpoint(stub.call(("shot", {"n": 2}), ("shot", {"n": 1})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(shot))
    first, second, images = server.bodies[1]["messages"][2:]
    assert (first["content"], second["content"]) == ("shot 2\n(2 attached below)", "shot 1\n(1 attached below)")
    assert images["role"] == "user"
    shown = [
        part.get("text") or base64.b64decode(part["image_url"]["url"].split(",")[1]).decode()
        for part in images["content"]
    ]
    assert shown == ["From tool 'shot', call call_0:", "20", "21", "From tool 'shot', call call_1:", "10"]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (ToolResult(), "(no output)"),
        (ToolResult.error("no such file"), "[tool error] no such file"),
        (ToolResult(structuredContent={"n": 1}), '{"n": 1}'),
        (ToolResult(content=(TextContent(text="n is 1"),), structuredContent={"n": 1}), "n is 1"),
    ],
)
async def test_what_the_model_reads_of_a_result(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, result: ToolResult, told: str
) -> None:
    def look() -> ToolResult:
        return result

    server = endpoint(stub.call(("look", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(look))
    assert server.bodies[1]["messages"][-1]["content"] == told


# --- what models do wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ['{"text": "straw', "[1, 2]", "'text'"])
async def test_malformed_arguments_are_told_and_the_conversation_stays_valid(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, raw: str
) -> None:
    server = endpoint(stub.call(("count_letter", raw)), stub.say("sorry"))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter))
    assert answer.text == "sorry"
    said, told = server.bodies[1]["messages"][1:]
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {}
    assert told["content"].startswith("[tool error] tool 'count_letter' was not called")
    assert raw in told["content"]


async def test_an_unknown_tool_is_told(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.call(("nowhere", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    assert "unknown tool 'nowhere'; there are count_letter" in server.bodies[1]["messages"][-1]["content"]


async def test_calls_without_ids_or_with_one_id_are_kept_apart(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    reply = stub.call(*[("count_letter", {"text": "a" * n, "letter": "a"}) for n in range(3)])
    wire = reply.body["choices"][0]["message"]["tool_calls"]
    wire[0]["id"], wire[1]["id"], wire[2]["id"] = None, "x", "x"
    server = endpoint(reply, stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    said, *told = server.bodies[1]["messages"][1:]
    ids = [call["id"] for call in said["tool_calls"]]
    assert len(set(ids)) == 3
    assert [(m["tool_call_id"], m["content"]) for m in told] == [(ids[0], "0"), (ids[1], "1"), (ids[2], "2")]


async def test_arguments_that_come_as_an_object_are_taken(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    reply = stub.call(("count_letter", {}))
    reply.body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = {"text": "aa", "letter": "a"}
    server = endpoint(reply, stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    said, told = server.bodies[1]["messages"][1:]
    assert told["content"] == "2"
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == {"text": "aa", "letter": "a"}


async def test_thoughts_are_recorded_and_go_back_beside_the_calls(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    think = {"reasoning_content": "let me count"}
    server = endpoint(stub.call(("count_letter", {"text": "a", "letter": "a"}), **think), stub.say("1", **think))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    trace.current_recorder.reset(token)
    assert server.bodies[1]["messages"][1]["reasoning_content"] == "let me count"
    assert [event.reasoning for event in recorder.pending[1:]] == ["let me count"] * 2


# --- how turns end ----------------------------------------------------------------------------------------------------


async def test_how_turns_end(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    cases = [
        (stub.say("ok"), "ok", StopReason.ANSWERED),
        (stub.say("ok", finish="eos"), "ok", StopReason.ANSWERED),
        (stub.say(None), "", StopReason.EMPTY),
        (
            stub.say([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]),
            "in parts",
            StopReason.ANSWERED,
        ),
        (stub.say("half an ans", finish="length"), "half an ans", StopReason.TRUNCATED),
        (stub.say("", finish="content_filter"), "", StopReason.CONTENT_FILTER),
        (stub.say(None, refusal="I can't help with that."), "I can't help with that.", StopReason.REFUSED),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with agent_of(server) as agent:
        for _, text, stop in cases:
            answer = await agent.run(ask("x"), toolbox())
            assert (answer.text, answer.stop_reason) == (text, stop)


async def test_calls_run_whatever_word_the_turn_ends_with(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    args = {"text": "a", "letter": "a"}
    for finish in ("stop", "length", "function_call"):
        server = endpoint(stub.call(("count_letter", args), ("count_letter", '{"te'), finish=finish), stub.say("ok"))
        async with agent_of(server) as agent:
            answer = await agent.run(ask("x"), toolbox(count_letter))
        assert answer.stop_reason is StopReason.ANSWERED
        whole, cut = server.bodies[1]["messages"][2:]
        assert whole["content"] == "1"
        assert cut["content"].startswith("[tool error]")


async def test_the_step_limit(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "a", "letter": "a"}), text="counting"))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter), max_steps=3)
    assert (answer.text, answer.stop_reason) == ("counting", StopReason.MAX_STEPS)
    assert len(server.requests) == 3


# --- the record -------------------------------------------------------------------------------------------------------


async def test_every_call_is_recorded_with_its_tokens(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    server = endpoint(stub.fail(500), stub.say("ok", usage=usage))
    recorder = trace.Recorder("r1")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox())
    trace.current_recorder.reset(token)
    _, event = recorder.pending
    assert event.type == "model_called"
    assert (event.model, event.text, event.stop_reason, event.request_id) == ("stub-1", "ok", "stop", "req-1")
    assert event.retries == 1
    counted = Usage(calls=1, input_tokens=100, output_tokens=20, cached_tokens=64, reasoning_tokens=7)
    assert event.usage == recorder.usage == counted


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_settings_reach_the_request(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    kwargs = {
        "logit_bias": {"5": 1},
        "extra_headers": {"x-a": "b"},
        "extra_query": {"q": "1"},
        "extra_body": {"lora": "z"},
    }
    options = {"top_k": 5, "max_tokens": 9, "checkpoint": "c-7", "completion_kwargs": kwargs}
    async with agent_of(server, **options) as agent:
        await agent.run(ask("x"), toolbox())
    [request] = server.requests
    sent = {key: value for key, value in request.body.items() if key != "messages"}
    assert sent == {"model": "m", "top_k": 5, "max_tokens": 9, "checkpoint": "c-7", "lora": "z", "logit_bias": {"5": 1}}
    assert request.headers["x-a"] == "b"
    assert request.path.endswith("?q=1")


async def test_every_sampling_option_is_sent_as_it_is(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    options = {name: f"as {name} is" for name in SAMPLING}
    async with agent_of(server, **options) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    assert {name: server.bodies[0][name] for name in SAMPLING} == options


async def test_settings_of_tools_are_sent_only_beside_tools(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server, parallel_tool_calls=False, tool_choice="auto") as agent:
        await agent.run(ask("x"), toolbox())
        await agent.run(ask("x"), toolbox(count_letter))
    without, with_tools = server.bodies
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & without.keys()
    assert (with_tools["tool_choice"], with_tools["parallel_tool_calls"]) == ("auto", False)


async def test_the_endpoint_and_the_key_may_come_from_the_environment(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = endpoint(stub.say("ok"))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    async with OpenAIChatAgent.create(model="m") as agent:
        await agent.run(ask("x"), toolbox())
    assert server.requests[0].headers["authorization"] == "Bearer sk-env"


async def test_a_client_of_one_s_own_is_used_and_stays_open(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    import openai

    server = endpoint(stub.say("ok"))
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-own") as client:
        async with OpenAIChatAgent.create(model="m", openai_client=client) as agent:
            await agent.run(ask("x"), toolbox())
        assert not client.is_closed()
    assert server.requests[0].headers["authorization"] == "Bearer sk-own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "http://x"}, "needs a model"),
        ({"model": "m"}, "needs an endpoint"),
        ({"model": "m", "base_url": "localhost:8000"}, "must begin with http"),
        ({"model": "m", "base_url": "http://me:pass@x"}, "must hold no user and password"),
        (
            {"model": "m", "base_url": "http://x", "temprature": 1},
            "unknown setting 'temprature'; did you mean 'temperature'",
        ),
        ({"model": "m", "base_url": "http://x", "completion_kwargs": {"stream": True}}, "must not hold stream"),
        (
            {"model": "m", "base_url": "http://x", "completion_kwargs": {"extra_headers": "x: y"}},
            "'extra_headers' in setting 'completion_kwargs' must be dict, got str",
        ),
        ({"model": "m", "base_url": "http://x", "completion_kwargs": "x"}, "'completion_kwargs' must be dict, got str"),
        ({"model": "m", "base_url": "http://x", "api_key": 5}, "'api_key' must be str, got int"),
        ({"model": "m", "base_url": "http://x", "max_retries": True}, "'max_retries' must be int, got bool"),
        ({"model": "m", "base_url": "http://x", "structured_output": "maybe"}, "must be 'schema' or 'prompt'"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        OpenAIChatAgent.create(**options)


def test_the_fingerprint_tells_settings_apart_and_holds_no_secret() -> None:
    base: dict[str, Any] = {"model": "m", "base_url": "http://host/v1?key=sk-query"}
    plain = OpenAIChatAgent.create(**base)
    same = OpenAIChatAgent.create(
        **base, api_key="sk-key", timeout=3, completion_kwargs={"extra_headers": {"x-key": "sk-header"}}
    )
    assert plain.fingerprint == same.fingerprint
    assert OpenAIChatAgent.create(**base, temperature=0.1).fingerprint != plain.fingerprint
    assert OpenAIChatAgent.create(**{**base, "base_url": "http://other/v1"}).fingerprint != plain.fingerprint
    shown = f"{same!r} {same.config!r} {same.config.described()} {same.fingerprint}"
    assert "sk-" not in shown


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancelling_a_request_ends_it_and_the_agent_works_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    slow = stub.say("late")
    slow.delay = 600
    server = endpoint(slow, stub.say("ok"))
    async with agent_of(server) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, ask("x"), toolbox())
            while not server.requests:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            assert (await agent.run(ask("y"), toolbox())).text == "ok"


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_failures_that_pass_are_tried_again(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(
        stub.fail(429, retry_after="0.01"), stub.fail(503, retry_after_ms="5"), stub.hang_up(), stub.say("ok")
    )
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox())).text == "ok"
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_failures_that_stay_are_not_tried_again(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, status: int
) -> None:
    server = endpoint(stub.fail(status, "no such thing"))
    async with agent_of(server) as agent:
        with pytest.raises(ProviderError, match=f"answered {status}.*no such thing") as raised:
            await agent.run(ask("x"), toolbox())
    assert not raised.value.retry
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_rate_limit_that_stays_says_how_long_to_wait(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, headers: dict[str, str], seconds: float | None
) -> None:
    server = endpoint(stub.fail(429, "slow down", **headers))
    async with agent_of(server, max_retries=0, overload_patience=0) as agent:
        with pytest.raises(ProviderError, match=r"answered 429.*slow down") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry
    assert raised.value.retry_after == seconds


async def test_a_spent_quota_is_not_tried_again(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    reply = stub.fail(429, "pay first")
    reply.body["error"]["code"] = "insufficient_quota"
    async with agent_of(endpoint(reply), max_retries=0) as agent:
        with pytest.raises(ProviderError, match="pay first") as raised:
            await agent.run(ask("x"), toolbox())
    assert not raised.value.retry


async def test_an_endpoint_that_is_not_there(toolbox: Tools) -> None:
    async with OpenAIChatAgent.create(base_url="http://127.0.0.1:9/v1", model="m", max_retries=0) as agent:
        with pytest.raises(ProviderError, match=r"cannot reach http://127.0.0.1:9/v1: .+") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry


async def test_an_endpoint_that_takes_too_long(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    slow = stub.say("late")
    slow.delay = 30
    async with agent_of(endpoint(slow), timeout=0.1, max_retries=0) as agent:
        with pytest.raises(ProviderError, match="did not answer in time") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "not a chat completion"),
        (b"", "not a chat completion"),
        ({"choices": [{"message": 5}]}, "not a chat completion"),
        ({"choices": []}, "without a choice"),
        ({"error": {"message": "upstream is down"}}, "upstream is down"),
        ({"choices": [{"finish_reason": "error", "message": {}}]}, "broke off"),
    ],
)
async def test_answers_that_are_none(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, body: Any, said: str
) -> None:
    async with agent_of(endpoint(stub.Reply(body)), max_retries=0) as agent:
        with pytest.raises(ProviderError, match=said):
            await agent.run(ask("x"), toolbox())


async def test_no_error_repeats_the_key(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.fail(401, "Incorrect API key provided: sk-planted-123"))
    async with agent_of(server, api_key="sk-planted-123") as agent:
        with pytest.raises(ProviderError) as raised:
            await agent.run(ask("x"), toolbox())
    assert "Incorrect API key" in str(raised.value)
    assert "sk-planted" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "said"), [("sk-planted-123", "*** is EMPTY, x"), ("EMPTY", "sk-planted-123 is EMPTY, x"), ("x", None)]
)
async def test_no_answer_repeats_the_key_and_what_stands_for_none_is_left_in_it(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, key: str, said: str | None
) -> None:
    text = "sk-planted-123 is EMPTY, x"
    server = endpoint(stub.call(("count_letter", {"text": "x EMPTY", "letter": "x"})), stub.say(text))
    async with agent_of(server, api_key=key) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == (said or text)
    assert server.bodies[1]["messages"][-1]["content"] == "1"
