from __future__ import annotations

import base64
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.model.content import AudioContent, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Usage
from hud_core.model.tools import ToolResult

PNG = base64.b64encode(b"a picture").decode()
Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
Agents = Callable[..., Any]


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


# --- the loop, end to end ---------------------------------------------------------------------------------------------


async def test_a_whole_conversation(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    server = endpoint(stub.call(("count_letter", {"text": "strawberry", "letter": "r"})), stub.say("3"))
    async with agent_of(server, system_prompt="be brief") as agent:
        answer = await agent.run(ask("how many?", system="be exact"), toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    first, second = server.bodies
    assert first == {
        "contents": [{"role": "user", "parts": [{"text": "how many?"}]}],
        "systemInstruction": {"parts": [{"text": "be brief\n\nbe exact"}]},
        "generationConfig": {
            "temperature": 1.0,
            "topP": 0.95,
            "topK": 40,
            "maxOutputTokens": 8192,
            "thinkingConfig": {"includeThoughts": True},
        },
        "tools": first["tools"],
    }
    [[declared]] = [tool["functionDeclarations"] for tool in first["tools"]]
    assert (declared["name"], declared["description"]) == ("count_letter", "Count a letter in a text.")
    assert set(declared["parametersJsonSchema"]["properties"]) == {"text", "letter"}
    said, told = second["contents"][1:]
    assert said == {
        "role": "model",
        "parts": [
            {
                "functionCall": {"name": "count_letter", "args": {"text": "strawberry", "letter": "r"}},
                "thoughtSignature": "c2lnbmVk+w==",
            }
        ],
    }
    assert told == {
        "role": "user",
        "parts": [{"functionResponse": {"name": "count_letter", "response": {"output": "3"}}}],
    }
    assert {request.path for request in server.requests} == {"/v1beta/models/gemini-3-pro-preview:generateContent"}
    assert {request.headers["x-goog-api-key"] for request in server.requests} == {"key-1"}
    assert {request.connection for request in server.requests} == {0}


async def test_a_call_is_on_record(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    reply = stub.answer([{"text": "hm, ", "thought": True}, {"text": "3"}, {"text": "!"}])
    reply.body["usageMetadata"] = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 7,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 20,
    }
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(endpoint(reply)) as agent:
        answer = await agent.run(ask("x"), toolbox())
    trace.current_recorder.reset(token)
    assert answer.text == "3!"
    [event] = [event for event in recorder.pending if event.type == "model_called"]
    assert (event.model, event.request_id, event.stop_reason) == ("stub-1", "resp-1", "STOP")
    assert (event.text, event.reasoning) == ("3!", "hm, ")
    counted = Usage(calls=1, input_tokens=107, output_tokens=25, cached_tokens=60, reasoning_tokens=20)
    assert replace(event.usage, cost=None) == counted


async def test_calls_of_one_turn_run_at_once_and_are_told_in_one_turn_in_their_order(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    gate = anyio.Event()

    async def first() -> str:
        await gate.wait()
        return "1"

    async def second() -> str:
        gate.set()
        raise ValueError("two")

    server = endpoint(stub.call(("first", {}), ("second", {}), ("nobody", {}), ids=True), stub.say("ok"))
    with anyio.fail_after(60):
        async with agent_of(server) as agent:
            await agent.run(ask("x"), toolbox(first, second))
    [told] = server.bodies[1]["contents"][2:]
    responses = [part["functionResponse"] for part in told["parts"]]
    assert [(one["id"], one["name"]) for one in responses] == [
        ("fc-0", "first"),
        ("fc-1", "second"),
        ("fc-2", "nobody"),
    ]
    assert responses[0]["response"] == {"output": "1"}
    assert "two" in responses[1]["response"]["error"]
    assert "nobody" in responses[2]["response"]["error"]


async def test_what_a_call_gave_as_data_is_told_as_data(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    def empty() -> ToolResult:
        return ToolResult()

    def data() -> ToolResult:
        return ToolResult(structuredContent={"n": 0})

    server = endpoint(stub.call(("empty", None), ("data", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(empty, data))
    told = [part["functionResponse"]["response"] for part in server.bodies[1]["contents"][2]["parts"]]
    assert told == [{"output": "(no output)"}, {"output": {"n": 0}}]


# --- images and other content -----------------------------------------------------------------------------------------


async def test_the_media_of_a_prompt_arrive(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
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
    assert server.bodies[0]["contents"][0]["parts"] == [
        {"text": "what is it?"},
        {"inlineData": {"mimeType": "image/jpeg", "data": PNG}},
        {"inlineData": {"mimeType": "audio/mpeg", "data": PNG}},
        {"inlineData": {"mimeType": "application/pdf", "data": PNG}},
        {"text": "file:///notes.txt\nhi"},
    ]
    assert "tools" not in server.bodies[0]


async def test_roles_are_kept(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    server = endpoint(stub.say("ok"))
    said = [("system", "rules"), ("user", "hi"), ("assistant", "hello"), ("user", "bye")]
    messages = tuple(Message(role=role, content=(TextContent(text=text),)) for role, text in said)  # type: ignore[arg-type]
    async with agent_of(server, system_prompt="be brief") as agent:
        await agent.run(Prompt(messages=messages), toolbox())
    body = server.bodies[0]
    assert body["systemInstruction"] == {"parts": [{"text": "be brief\n\nrules"}]}
    assert [(one["role"], one["parts"][0]["text"]) for one in body["contents"]] == [
        ("user", "hi"),
        ("model", "hello"),
        ("user", "bye"),
    ]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("model", "inside"),
    [
        ("gemini-3-pro-preview", True),
        ("models/gemini-3.5-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-computer-use-preview-10-2025", True),
        ("gemini-2.5-pro", False),
        ("gemma-3-27b-it", False),
    ],
)
async def test_the_media_of_results_go_into_the_response_where_the_model_takes_them(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, model: str, inside: bool
) -> None:
    def look() -> list[Any]:
        return [TextContent(text="here"), ImageContent(data=PNG), AudioContent(data=PNG)]

    server = endpoint(stub.call(("look", {})), stub.say("ok"))
    async with agent_of(server, model=model) as agent:
        await agent.run(ask("x"), toolbox(look))
    response, title, *media = server.bodies[1]["contents"][2]["parts"]
    image = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    sound = {"inlineData": {"mimeType": "audio/wav", "data": PNG}}
    assert response["functionResponse"].get("parts") == ([image] if inside else None)
    assert media == ([sound] if inside else [image, sound])
    assert response["functionResponse"]["response"] == {"output": f"here\n({len(media)} attached below)"}
    assert title["text"].startswith("From tool 'look', call ")


# --- how turns end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("finish", "text", "stop"),
    [
        ("STOP", "3", StopReason.ANSWERED),
        ("STOP", "", StopReason.EMPTY),
        ("OTHER", "", StopReason.EMPTY),
        ("MAX_TOKENS", "half", StopReason.TRUNCATED),
        ("CONTINUATION", "half", StopReason.TRUNCATED),
        ("SAFETY", "", StopReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", "", StopReason.CONTENT_FILTER),
        ("BLOCKLIST", "", StopReason.CONTENT_FILTER),
        ("SPII", "", StopReason.CONTENT_FILTER),
        ("RECITATION", "half", StopReason.CONTENT_FILTER),
    ],
)
async def test_how_turns_end(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, finish: str, text: str, stop: StopReason
) -> None:
    reply = stub.say(text, finish) if text else stub.answer(None, finish)
    async with agent_of(endpoint(reply)) as agent:
        answer = await agent.run(ask("x"), toolbox())
    assert (answer.text, answer.stop_reason) == (text, stop)


async def test_why_something_is_withheld_is_on_record_in_the_endpoint_s_words(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}
    blocked = stub.Reply({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": [rating]}})
    unsafe = stub.answer(None, "SAFETY", finishMessage="not nice", safetyRatings=[rating])
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(endpoint(blocked, unsafe)) as agent:
        answers = [await agent.run(ask("x"), toolbox()) for _ in range(2)]
    trace.current_recorder.reset(token)
    assert [answer.stop_reason for answer in answers] == [StopReason.CONTENT_FILTER] * 2
    lines = [event.text for event in recorder.pending if event.type == "log_line"]
    assert [line.split(";")[0] for line in lines] == [
        "the endpoint withheld the prompt: PROHIBITED_CONTENT",
        "the endpoint withheld the answer: SAFETY",
    ]
    assert all("HARM_CATEGORY_HARASSMENT" in line for line in lines)
    assert "not nice" in lines[1]
    events = [event for event in recorder.pending if event.type == "model_called"]
    assert [event.stop_reason for event in events] == ["PROHIBITED_CONTENT", "SAFETY"]


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        (
            "MALFORMED_FUNCTION_CALL",
            "Malformed function call: print(default_api.count_letter(text=))",
            "'count_letter' was not called",
        ),
        ("UNEXPECTED_TOOL_CALL", "Unexpected tool call: nobody(x=1)", "'nobody' was not called: there is no such"),
        ("MALFORMED_FUNCTION_CALL", None, "'unknown' was not called"),
    ],
)
async def test_a_call_that_is_none_goes_back_to_the_model(
    endpoint: Endpoint,
    stub: ModuleType,
    toolbox: Tools,
    agent_of: Agents,
    reason: str,
    message: str | None,
    told: str,
) -> None:
    unreadable = stub.answer([{"thoughtSignature": "c2ln"}], reason, finishMessage=message)
    server = endpoint(unreadable, stub.say("3"))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox(count_letter))
    assert answer.text == "3"
    said, heard = server.bodies[1]["contents"][1:]
    assert said == {"role": "model", "parts": [{"text": message or reason}]}
    [part] = heard["parts"]
    assert told in part["text"]


async def test_a_call_of_nothing_is_not_made_though_it_came_as_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    called = {"functionCall": {"name": "count_letter", "args": {"text": "r", "letter": "r"}}}
    server = endpoint(stub.answer([{"text": "now"}, called], "UNEXPECTED_TOOL_CALL"), stub.say("3"))
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "3"
    said, heard = server.bodies[1]["contents"][1:]
    assert said["parts"] == [{"text": "now"}, {"text": "UNEXPECTED_TOOL_CALL"}]
    assert "'count_letter' was not called: there is no such function" in heard["parts"][0]["text"]


async def test_arguments_that_are_no_object_go_back_to_the_model(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.call(("count_letter", ["r"]), ("count_letter", "{")), stub.say("3"))
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "3"
    told = [part["functionResponse"]["response"]["error"] for part in server.bodies[1]["contents"][2]["parts"]]
    assert ["a JSON list" in told[0], "invalid JSON" in told[1]] == [True, True]
    said = server.bodies[1]["contents"][1]["parts"]
    assert [part["functionCall"]["args"] for part in said] == [{}, {}]


# --- sources ----------------------------------------------------------------------------------------------------------


async def test_sources_are_citations(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    reply = stub.answer(
        [{"text": "thinking", "thought": True}, {"text": "Schön. "}, {"text": "Zürich ist groß."}],
        groundingMetadata={
            "groundingChunks": [
                {"web": {"uri": "http://a", "title": "A"}},
                {"retrievedContext": {"uri": "http://b"}},
                {"maps": {"uri": "http://c"}},
            ],
            "groundingSupports": [
                {
                    "segment": {"partIndex": 2, "startIndex": 0, "endIndex": 7, "text": "Zürich"},
                    "groundingChunkIndices": [0, 1, 9],
                },
                {"segment": {"partIndex": 7, "endIndex": 1}, "groundingChunkIndices": [0]},
                {"segment": None, "groundingChunkIndices": None},
            ],
        },
        citationMetadata={"citationSources": [{"startIndex": 0, "endIndex": 3, "uri": "http://d", "license": "MIT"}]},
        urlContextMetadata={
            "urlMetadata": [
                {"retrievedUrl": "http://e", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
                {"retrievedUrl": "http://f", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
            ]
        },
    )
    async with agent_of(endpoint(reply)) as agent:
        answer = await agent.run(ask("x"), toolbox())
    found = [(one.type, one.source, one.title, one.start_index, one.end_index) for one in answer.citations]
    assert found == [
        ("grounding", "http://a", "A", 7, 13),
        ("grounding", "http://b", "", 7, 13),
        ("grounding", "http://a", "A", None, None),
        ("grounding", "http://c", "", None, None),
        ("citation", "http://d", "", None, None),
        ("url_citation", "http://e", "", None, None),
    ]
    assert answer.text[7:13] == answer.citations[0].text == "Zürich"
    assert answer.citations[4].provider_data == {"license": "MIT"}


# --- loops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_agent_may_be_used_in_one_event_loop_after_the_other(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, backend: str
) -> None:
    agent = agent_of(endpoint(stub.say("ok")))
    for _ in range(2):
        assert anyio.run(agent.run, ask("x"), toolbox(), backend=backend).text == "ok"


async def test_an_agent_that_was_closed_may_be_used_again(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.say("ok"))
    agent = agent_of(server)
    for _ in range(2):
        assert (await agent.run(ask("x"), toolbox())).text == "ok"
        await agent.aclose()
    assert [request.connection for request in server.requests] == [0, 1]


async def test_cancelling_a_request_ends_it_and_the_agent_works_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    slow = stub.say("late")
    slow.delay = 30
    server = endpoint(slow, stub.say("ok"))
    async with agent_of(server) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, ask("x"), toolbox())
            while not server.requests:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            assert (await agent.run(ask("y"), toolbox())).text == "ok"
