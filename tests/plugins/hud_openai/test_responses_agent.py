from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import openai
import pytest

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import AgentError, ConfigError, ProviderError
from hud_core.model.content import AudioContent, Citation, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.tools import ToolResult
from hud_openai import OpenAIAgent
from hud_openai.responses.config import PASSED

PNG = base64.b64encode(b"a picture").decode()
Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
LETTERS = {"text": "strawberry", "letter": "r"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "let me count"}]}


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


def agent_of(endpoint: Any, **options: Any) -> OpenAIAgent:
    return OpenAIAgent.create(**{"base_url": endpoint.url, "model": "m", **options})


@pytest.fixture
def recorder() -> Any:
    made = trace.Recorder("r")
    token = trace.current_recorder.set(made)
    yield made
    trace.current_recorder.reset(token)


def lines(recorder: trace.Recorder) -> list[str]:
    return [event.text for event in recorder.pending if event.type == "log_line"]


# --- the loop, end to end ---------------------------------------------------------------------------------------------


async def test_only_what_is_new_is_sent(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(
        stub.respond(THOUGHT, stub.function("count_letter", LETTERS), id="resp_a"),
        stub.respond(stub.function("count_letter", LETTERS, "call_2"), id="resp_b"),
        stub.respond(stub.message("3")),
    )
    async with agent_of(server, system_prompt="be brief", api_key="sk-1") as agent:
        answer = await agent.run(ask("how many?", system="be exact"), toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    first, second, third = server.bodies
    assert first["input"] == [{"role": "user", "content": "how many?"}]
    assert "previous_response_id" not in first
    assert (second["previous_response_id"], third["previous_response_id"]) == ("resp_a", "resp_b")
    assert second["input"] == [{"type": "function_call_output", "call_id": "call_1", "output": "3"}]
    assert third["input"] == [{"type": "function_call_output", "call_id": "call_2", "output": "3"}]
    for body in server.bodies:  # the endpoint carries neither of these over
        assert body["instructions"] == "be brief\n\nbe exact"
        assert [tool["name"] for tool in body["tools"]] == ["count_letter"]
        assert not {"store", "include"} & body.keys()
    assert {request.path for request in server.requests} == {"/v1/responses"}
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-1"}


async def test_without_storage_everything_is_sent_thoughts_included(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    thought, call = {**THOUGHT, "encrypted_content": "gAAA"}, stub.function("count_letter", LETTERS)
    server = endpoint(stub.respond(thought, call), stub.respond(stub.message("3")))
    async with agent_of(server, store=False, include=["message.output_text.logprobs"]) as agent:
        await agent.run(ask("how many?"), toolbox(count_letter))
    for body in server.bodies:
        assert body["store"] is False
        assert body["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]
        assert "previous_response_id" not in body
    told = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    assert server.bodies[1]["input"] == [{"role": "user", "content": "how many?"}, thought, call, told]


async def test_a_lost_conversation_is_sent_whole_once_and_from_then_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, recorder: trace.Recorder
) -> None:
    call = stub.function("count_letter", LETTERS)
    lost = {"code": "previous_response_not_found", "param": "previous_response_id"}
    server = endpoint(
        stub.respond(THOUGHT, call),
        stub.fail(400, "Previous response with id 'resp_1' not found.", error=lost),
        stub.respond(call),
        stub.respond(stub.message("3")),
    )
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "3"
    _, refused, whole, last = server.bodies
    assert refused["previous_response_id"]
    said = {name: value for name, value in call.items() if name != "id"}
    told = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    assert whole["input"] == [{"role": "user", "content": "x"}, said, told]  # a thought without content is of no use
    assert last["input"] == [*whole["input"], call, told]
    assert not [body for body in (whole, last) if "previous_response_id" in body]
    [line] = lines(recorder)
    assert line.startswith("the endpoint has not kept the conversation")


@pytest.mark.parametrize("status", [400, 404])
async def test_other_words_for_a_lost_conversation(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, status: int
) -> None:
    def decide(request: Any) -> Any:
        previous = request.body.get("previous_response_id")
        if previous:
            return stub.fail(status, f"Response with id '{previous}' not found.")
        told = any(item.get("type") == "function_call_output" for item in request.body["input"])
        return stub.respond(stub.message("3") if told else stub.function("count_letter", LETTERS))

    async with agent_of(endpoint(decide)) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "3"


async def test_a_model_without_encrypted_thoughts_is_asked_without_them(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, recorder: trace.Recorder
) -> None:
    refusal = stub.fail(400, "Encrypted content is not supported with this model.", error={"param": "include"})
    server = endpoint(refusal, stub.respond(stub.message("3")))
    async with agent_of(server, store=False) as agent:
        for _ in range(2):
            assert (await agent.run(ask("x"), toolbox())).text == "3"
    assert ["include" in body for body in server.bodies] == [True, False, False]
    assert [body["store"] for body in server.bodies] == [False] * 3
    assert "no encrypted thoughts" in lines(recorder)[0]


async def test_what_the_settings_ask_for_is_not_given_up(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    refusal = stub.fail(400, "Encrypted content is not supported with this model.", error={"param": "include"})
    server = endpoint(refusal)
    async with agent_of(server, include=["reasoning.encrypted_content"]) as agent:
        with pytest.raises(ProviderError, match="not supported"):
            await agent.run(ask("x"), toolbox())
    assert len(server.requests) == 1


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

    calls = stub.function("first", {}, "a"), stub.function("second", {}, "b")
    server = endpoint(stub.respond(*calls), stub.respond(stub.message("ok")))
    with anyio.fail_after(60):
        async with agent_of(server) as agent:
            await agent.run(ask("x"), toolbox(first, second))
    assert [(item["call_id"], item["output"]) for item in server.bodies[1]["input"]] == [("a", "1"), ("b", "2")]


async def test_the_step_limit(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("counting"), stub.function("count_letter", LETTERS)))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter), max_steps=3)
    assert (answer.text, answer.stop_reason) == ("counting", StopReason.MAX_STEPS)
    assert len(server.requests) == 3


async def test_a_pause_is_asked_about_without_tools(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(*(stub.respond(stub.message(text), id=text) for text in ("Shall I?", "CONTINUE", "3", "STOP")))
    async with agent_of(server, auto_respond=True) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter))
    assert answer.text == "3"
    _, judge, goes_on, _ = server.bodies
    assert "tools" not in judge
    assert (goes_on["previous_response_id"], goes_on["input"]) == (
        "Shall I?",
        [{"role": "user", "content": "CONTINUE"}],
    )


# --- tools ------------------------------------------------------------------------------------------------------------


async def test_tools_are_strict_and_what_strict_mode_fills_in_is_left_out_again(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    seen: list[Any] = []

    def look(where: str, depth: int = 3, note: str | None = "n") -> str:
        """Look."""
        seen.append((where, depth, note))
        return "ok"

    calls = [stub.function("look", {"where": "up", "depth": depth, "note": None}, f"c{depth}") for depth in (None, 5)]
    server = endpoint(stub.respond(*calls), stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(look))
    [tool] = server.bodies[0]["tools"]
    assert (tool["type"], tool["name"], tool["description"], tool["strict"]) == ("function", "look", "Look.", True)
    parameters = tool["parameters"]
    assert parameters["required"] == ["where", "depth", "note"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["depth"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert sorted(seen) == [("up", 3, None), ("up", 5, None)]


async def test_tools_that_strict_mode_cannot_express_are_offered_as_they_are(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    seen: list[Any] = []

    def tag(labels: dict[str, str], only: str | None = None) -> str:
        seen.append((labels, only))
        return "ok"

    call = stub.function("tag", {"labels": {"a": "b"}})
    server = endpoint(stub.respond(call), stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(tag, count_letter))
    strict = {tool["name"]: tool["strict"] for tool in server.bodies[0]["tools"]}
    assert strict == {"tag": False, "count_letter": True}
    assert seen == [({"a": "b"}, None)]


async def test_an_endpoint_that_takes_no_strict_tools_gets_them_as_they_are(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, recorder: trace.Recorder
) -> None:
    refusal = stub.fail(400, "Invalid schema for function", error={"code": "invalid_function_parameters"})
    server = endpoint(refusal, stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    assert [body["tools"][0]["strict"] for body in server.bodies] == [True, False]
    assert "strict mode" in lines(recorder)[0]


@pytest.mark.parametrize("raw", ['{"text": "straw', "[1, 2]", "'text'"])
async def test_malformed_arguments_are_told_and_the_conversation_stays_valid(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, raw: str
) -> None:
    server = endpoint(stub.respond(stub.function("count_letter", raw)), stub.respond(stub.message("sorry")))
    async with agent_of(server, store=False) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter))
    assert answer.text == "sorry"
    _, said, told = server.bodies[1]["input"]
    assert json.loads(said["arguments"]) == {}
    assert told["output"].startswith("[tool error] tool 'count_letter' was not called")
    assert raw in told["output"]


async def test_an_unknown_tool_is_told(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.function("nowhere", {})), stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    assert "unknown tool 'nowhere'; there are count_letter" in server.bodies[1]["input"][0]["output"]


async def test_calls_without_ids_or_with_one_id_are_kept_apart(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    calls = [stub.function("count_letter", {"text": "a" * n, "letter": "a"}, "x") for n in range(3)]
    calls[0] |= {"call_id": None, "id": None}
    server = endpoint(stub.respond(*calls), stub.respond(stub.message("ok")))
    async with agent_of(server, store=False) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    items = server.bodies[1]["input"][1:]
    said, told = [item["call_id"] for item in items[:3]], [(item["call_id"], item["output"]) for item in items[3:]]
    assert len(set(said)) == 3
    assert told == list(zip(said, "012", strict=True))


# --- content ----------------------------------------------------------------------------------------------------------


async def test_the_images_of_a_prompt_arrive(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("a cat")))
    content = (
        TextContent(text="what is it?"),
        ImageContent(data=PNG, mimeType="image/jpeg"),
        ResourceContent(uri="file:///a/b.pdf", data=PNG, mimeType="application/pdf"),
        ResourceContent(uri="file:///a/b.png", data=PNG, mimeType="image/png"),
        ResourceContent(uri="file:///notes.txt", text="hi"),
    )
    async with agent_of(server) as agent:
        await agent.run(Prompt(messages=(Message(content=content),)), toolbox())
    assert server.bodies[0]["input"][0]["content"] == [
        {"type": "input_text", "text": "what is it?"},
        {"type": "input_image", "image_url": f"data:image/jpeg;base64,{PNG}", "detail": "auto"},
        {"type": "input_file", "filename": "b.pdf", "file_data": f"data:application/pdf;base64,{PNG}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        {"type": "input_text", "text": "file:///notes.txt\nhi"},
    ]


async def test_a_sound_is_no_prompt(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        with pytest.raises(AgentError, match="takes none; ask over chat: openai_compatible"):
            await agent.run(Prompt(messages=(Message(content=(AudioContent(data=PNG),)),)), toolbox())
    assert server.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": [{"role": "user", "content": [{"type": "text", "text": "as chat has it"}]}]},
        {"input": [{"type": "computer_call_output", "call_id": "c", "output": {"type": "input_image"}}]},
        {"tools": [{"type": "function", "function": {"name": "as chat has it"}}]},
        {"truncation": "maybe"},
    ],
)
def test_a_request_that_the_api_would_refuse_is_found(form: Callable[[Any], None], wrong: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):  # every endpoint of these tests checks what it was sent
        form(wrong)


async def test_roles_are_kept(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    said = [("system", "rules"), ("user", "hi"), ("assistant", "hello"), ("user", "bye")]
    messages = [Message(role=role, content=(TextContent(text=text),)) for role, text in said]  # type: ignore[arg-type]
    messages.append(Message(role="assistant", content=(TextContent(text="a"), TextContent(text="b"))))
    async with agent_of(server) as agent:
        await agent.run(Prompt(messages=tuple(messages)), toolbox())
    assert [(item["role"], item["content"]) for item in server.bodies[0]["input"]] == [*said, ("assistant", "a\nb")]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (ToolResult(), "(no output)"),
        (ToolResult.error("no such file"), "[tool error] no such file"),
        (ToolResult(structuredContent={"n": 1}), '{"n": 1}'),
        (ToolResult(content=(TextContent(text="n is 1"),), structuredContent={"n": 1}), "n is 1"),
        (
            ToolResult(content=(TextContent(text="shot"), ImageContent(data=PNG), ImageContent(data=PNG))),
            [
                {"type": "input_text", "text": "shot"},
                *[{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}] * 2,
            ],
        ),
        (
            ToolResult(content=(AudioContent(data=PNG),), isError=True),
            [
                {"type": "input_text", "text": "[tool error]"},
                {"type": "input_text", "text": "[audio/wav, 9 bytes, not shown]"},
            ],
        ),
    ],
)
async def test_what_the_model_reads_of_a_result(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, result: ToolResult, told: Any
) -> None:
    def look() -> ToolResult:
        return result

    server = endpoint(stub.respond(stub.function("look", {})), stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(look))
    assert server.bodies[1]["input"] == [{"type": "function_call_output", "call_id": "call_1", "output": told}]


async def test_citations_are_part_of_the_answer(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    url = {"type": "url_citation", "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 3}
    file = {"type": "file_citation", "file_id": "file-1", "filename": "b.pdf", "index": 4}
    parts = [{"type": "output_text", "text": "so. ", "annotations": []}]
    parts.append({"type": "output_text", "text": "yes", "annotations": [url, file]})
    async with agent_of(endpoint(stub.respond(stub.message(*parts)))) as agent:
        answer = await agent.run(ask("x"), toolbox())
    assert answer.text == "so. yes"
    assert answer.citations == (
        Citation(
            type="url_citation",
            text="A",
            source="https://a.b",
            title="A",
            start_index=4,
            end_index=7,
            provider_data=url,
        ),
        Citation(type="file_citation", text="b.pdf", source="file-1", title="b.pdf", start_index=8, provider_data=file),
    )


async def test_what_is_said_on_the_way_is_no_part_of_the_answer(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    said = stub.message("I looked it up.", phase="commentary"), stub.message("3", phase="final_answer")
    async with agent_of(endpoint(stub.respond(*said))) as agent:
        assert (await agent.run(ask("x"), toolbox())).text == "3"


# --- typed answers ----------------------------------------------------------------------------------------------------


async def test_a_typed_answer_is_asked_for_by_its_schema(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    point = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    server = endpoint(stub.respond(stub.message('{"x": 1}')), stub.respond(stub.message('{"answer": 3}')))
    async with agent_of(server, text={"verbosity": "low"}) as agent:
        typed = await agent.run(ask("where?", answer_schema=point), toolbox())
        number = await agent.run(ask("how many?", answer_schema={"type": "integer"}), toolbox())
    assert (typed.structured, number.structured) == ({"x": 1}, 3)
    asked = server.bodies[0]["text"]
    assert asked["verbosity"] == "low"
    assert (asked["format"]["type"], asked["format"]["strict"]) == ("json_schema", True)
    assert asked["format"]["schema"] == {**point, "additionalProperties": False}
    assert server.bodies[1]["text"]["format"]["schema"]["properties"] == {"answer": {"type": "integer"}}


# --- how turns end ----------------------------------------------------------------------------------------------------


def incomplete(reason: str) -> dict[str, Any]:
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


async def test_how_turns_end(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    refusal = {"type": "refusal", "refusal": "I can't help with that."}
    policy = {"code": "content_filter"}
    cases = [
        (stub.respond(stub.message("ok")), "ok", StopReason.ANSWERED),
        (stub.respond(stub.message("ok"), status=None, usage=None), "ok", StopReason.ANSWERED),
        (stub.respond(), "", StopReason.EMPTY),
        (stub.respond(THOUGHT), "", StopReason.EMPTY),
        (stub.respond(stub.message("half"), **incomplete("max_output_tokens")), "half", StopReason.TRUNCATED),
        (stub.respond(stub.message("half"), status="incomplete"), "half", StopReason.TRUNCATED),
        (stub.respond(**incomplete("content_filter")), "", StopReason.CONTENT_FILTER),
        (stub.respond(stub.message(refusal)), "I can't help with that.", StopReason.REFUSED),
        (stub.fail(400, "filtered", error=policy), "", StopReason.CONTENT_FILTER),
        (stub.fail(400, "violates our usage policy", error={"code": "invalid_prompt"}), "", StopReason.CONTENT_FILTER),
        (stub.respond(status="failed", error={**policy, "message": "no"}), "", StopReason.CONTENT_FILTER),
        (
            stub.fail(
                400, "Your input exceeds the context window of this model.", error={"code": "context_length_exceeded"}
            ),
            "",
            StopReason.CONTEXT_OVERFLOW,
        ),
        (
            stub.respond(status="failed", error={"code": "context_length_exceeded", "message": "too long"}),
            "",
            StopReason.CONTEXT_OVERFLOW,
        ),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with agent_of(server) as agent:
        for _, text, stop in cases:
            answer = await agent.run(ask("x"), toolbox())
            assert (answer.text, answer.stop_reason) == (text, stop)
    assert len(server.requests) == len(cases)


async def test_a_call_that_was_cut_off_goes_back_to_the_model(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    calls = stub.function("count_letter", LETTERS, "a"), stub.function("count_letter", '{"te', "b")
    server = endpoint(stub.respond(*calls, **incomplete("max_output_tokens")), stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter))
    assert answer.stop_reason is StopReason.ANSWERED
    whole, cut = server.bodies[1]["input"]
    assert whole["output"] == "3"
    assert cut["output"].startswith("[tool error]")


# --- the record -------------------------------------------------------------------------------------------------------


async def test_every_call_is_recorded_with_its_tokens(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, recorder: trace.Recorder
) -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 7},
    }
    server = endpoint(stub.fail(500, retry_after_ms="1"), stub.respond(THOUGHT, stub.message("ok"), usage=usage))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox())
    [event] = [event for event in recorder.pending if event.type == "model_called"]
    assert (event.model, event.text, event.reasoning) == ("stub-1", "ok", "let me count")
    assert (event.stop_reason, event.request_id, event.retries) == ("completed", "req-1", 1)
    counted = event.usage
    assert (counted.calls, counted.input_tokens, counted.output_tokens) == (1, 100, 20)
    assert (counted.cached_tokens, counted.cache_write_tokens, counted.reasoning_tokens) == (64, 8, 7)


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_settings_reach_the_request(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    sent = {
        "model": "gpt-5.4-mini",
        "max_output_tokens": 900,
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
        "tool_choice": "auto",
        "text": {"verbosity": "low"},
        "truncation": "auto",
        "parallel_tool_calls": False,
        "top_p": 0.9,
        "service_tier": "flex",
    }
    kwargs = {"extra_headers": {"x-a": "b"}, "extra_query": {"q": "1"}, "extra_body": {"lora": "z"}, "moderation": None}
    async with agent_of(server, **sent, completion_kwargs=kwargs) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
        await agent.run(ask("x"), toolbox())
    first, second = server.requests
    body = {name: value for name, value in first.body.items() if name not in ("input", "tools")}
    assert body == {**sent, "lora": "z", "moderation": None}
    assert first.headers["x-a"] == "b"
    assert first.path.endswith("?q=1")
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & second.body.keys()


async def test_every_further_option_is_sent_as_it_is(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    options = {name: f"as {name} is" for name in PASSED} | {"include": ["message.input_image.image_url"]}
    async with agent_of(server, **options) as agent:
        await agent.run(ask("x"), toolbox())
    assert {name: server.bodies[0][name] for name in PASSED} == options


async def test_the_endpoint_and_the_key_may_come_from_the_environment(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    async with OpenAIAgent.create() as agent:
        await agent.run(ask("x"), toolbox())
    assert server.requests[0].headers["authorization"] == "Bearer sk-env"
    assert server.bodies[0]["model"] == "gpt-5.4"


@pytest.mark.parametrize("name", ["openai_client", "model_client"])
async def test_a_client_of_one_s_own_is_used_and_stays_open(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, name: str
) -> None:
    server = endpoint(stub.respond(stub.message("ok")))
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-own") as client:
        async with OpenAIAgent.create(**{"model": "m", name: client}) as agent:
            await agent.run(ask("x"), toolbox())
        assert not client.is_closed()
    assert server.requests[0].headers["authorization"] == "Bearer sk-own"


async def test_a_key_is_checked_before_the_first_request_where_that_is_wanted(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    good = endpoint(stub.fail(404, "no list of models here"), stub.respond(stub.message("ok")))
    async with agent_of(good, validate_api_key=True) as agent:
        for _ in range(2):
            assert (await agent.run(ask("x"), toolbox())).text == "ok"
    assert [request.path for request in good.requests] == ["/v1/models", "/v1/responses", "/v1/responses"]
    bad = endpoint(stub.fail(401, "Incorrect API key provided: sk-planted"))
    async with agent_of(bad, validate_api_key=True, api_key="sk-planted") as agent:
        with pytest.raises(ProviderError, match=r"answered 401: Incorrect API key provided: \*\*\*") as raised:
            await agent.run(ask("x"), toolbox())
    assert not raised.value.retry
    assert [request.path for request in bad.requests] == ["/v1/models"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": None}, "openai needs an endpoint"),
        ({"base_url": "localhost:8000"}, "must begin with http"),
        ({"temprature": 1}, "unknown setting 'temprature'; did you mean 'temperature'"),
        ({"max_tokens": 1}, "unknown setting 'max_tokens'"),
        ({"truncation": "maybe"}, "'truncation' must be 'auto' or 'disabled', got 'maybe'"),
        ({"reasoning": "high"}, "'reasoning' must be dict, got str"),
        ({"store": 1}, "'store' must be bool, got int"),
        ({"completion_kwargs": {"stream": True}}, "must not hold stream"),
        ({"completion_kwargs": {"store": False}}, "must not hold store"),
        ({"model_client": 1, "openai_client": 1}, "'model_client' and 'openai_client' are the same one"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        OpenAIAgent.create(**{"base_url": "http://x", **options})


def test_the_fingerprint_tells_settings_apart_and_holds_no_secret() -> None:
    plain = OpenAIAgent.create(base_url="http://host/v1?key=sk-query")
    hidden = {"extra_headers": {"x-key": "sk-header"}}
    same = OpenAIAgent.create(
        base_url="http://host/v1", api_key="sk-key", timeout=3, validate_api_key=True, completion_kwargs=hidden
    )
    assert plain.fingerprint == same.fingerprint
    for options in ({"reasoning": {"effort": "low"}}, {"top_p": 0.1}, {"store": False}):
        assert OpenAIAgent.create(base_url="http://host/v1", **options).fingerprint != plain.fingerprint
    assert "sk-" not in f"{same!r} {same.config!r} {same.config.described()} {same.fingerprint}"


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_failures_that_pass_are_tried_again(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(
        stub.fail(429, retry_after="0.01"), stub.fail(503, retry_after_ms="5"), stub.respond(stub.message("ok"))
    )
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox())).text == "ok"
    assert len(server.requests) == 3


async def test_one_request_is_sent_for_one_try(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    cut = stub.respond(stub.message("ok"))
    cut.cut = True
    failed = stub.respond(status="failed", error={"code": "server_error", "message": "oops"})
    for reply, overloaded in (
        (stub.fail(429), True),
        (stub.fail(500), False),
        (stub.hang_up(), False),
        (cut, False),
        (failed, False),
    ):
        server = endpoint(reply)
        async with agent_of(server, max_retries=0, overload_patience=0) as agent:
            with pytest.raises(ProviderError) as raised:
                await agent.run(ask("x"), toolbox())
        assert (raised.value.retry, raised.value.overloaded, raised.value.retry_after) == (True, overloaded, None)
        assert len(server.requests) == 1


async def test_an_endpoint_that_takes_too_long(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    slow = stub.respond(stub.message("late"))
    slow.delay = 30
    async with agent_of(endpoint(slow), timeout=0.1, max_retries=0) as agent:
        with pytest.raises(ProviderError, match="did not answer in time") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry


async def test_a_broken_prompt_is_not_a_filtered_one(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.fail(400, "input[0] is no item", error={"code": "invalid_prompt"}))
    async with agent_of(server) as agent:
        with pytest.raises(ProviderError, match="is no item"):
            await agent.run(ask("x"), toolbox())


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
    ("body", "said", "retry"),
    [
        (b"<html>hello</html>", "not a response", True),
        (b"", "not a response", True),
        ([1], "not a response", True),
        ({"output": [{"type": "message", "content": [{"text": 5}]}]}, "not a response", True),
        ({"error": {"code": 502, "message": "upstream is down"}}, "upstream is down", True),
        ({"choices": []}, "not a response", True),
        ({"output": ["x"]}, "not a response", True),
        ({"status": "failed", "error": None}, "failed: no reason given", True),
        ({"status": "queued"}, "queued", True),
        ({"status": "failed", "error": {"code": "invalid_image_url", "message": "gone"}}, "failed: gone", False),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, "failed: slow", True),
    ],
)
async def test_answers_that_are_none(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, body: Any, said: str, retry: bool
) -> None:
    async with agent_of(endpoint(stub.Reply(body)), max_retries=0, overload_patience=0) as agent:
        with pytest.raises(ProviderError, match=said) as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry is retry
    assert raised.value.overloaded is (said == "failed: slow")


async def test_no_error_repeats_the_key(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    said = {"code": "server_error", "message": "the key sk-planted is odd"}
    for reply in (stub.fail(401, said["message"]), stub.respond(status="failed", error=said)):
        server = endpoint(reply)
        client = openai.AsyncOpenAI(base_url=server.url, api_key="sk-planted")
        for options in ({"base_url": server.url, "api_key": "sk-planted"}, {"openai_client": client}):
            async with OpenAIAgent.create(**options, max_retries=0) as agent:
                with pytest.raises(ProviderError, match=r"the key \*\*\* is odd"):
                    await agent.run(ask("x"), toolbox())
        await client.close()


async def test_cancelling_a_request_ends_it_and_the_agent_works_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    slow = stub.respond(stub.message("late"))
    slow.delay = 600
    server = endpoint(slow, stub.respond(stub.message("ok")))
    async with agent_of(server) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, ask("x"), toolbox())
            while not server.requests:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            assert (await agent.run(ask("y"), toolbox())).text == "ok"
