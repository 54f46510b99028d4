"""A user's own loop on each vendor's SDK: its objects go into `call_tool`, and the messages back into requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
import stub_endpoint
from google import genai
from google.genai import types

import hud
from hud_core import Environment

ARGUMENTS = {"text": "strawberry", "letter": "r"}
BAD = '{"text": "straw'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the SDKs are what is tried here, and they differ on trio by their transport alone


@pytest.fixture
def task() -> Any:
    env = Environment("letters")

    @env.tool
    def count_letter(text: str, letter: str) -> int:
        """Count a letter in a text."""
        return text.count(letter)

    @env.scenario()
    async def count():
        answer = yield "How many r are in strawberry?"
        yield float(answer == "3")

    return count.task()


@pytest.fixture
def serve() -> Iterator[Any]:
    """Start an endpoint that gives these bodies, one a request."""
    running: list[Any] = []

    def start(*bodies: Any) -> Any:
        endpoint = stub_endpoint.StubEndpoint(*(stub_endpoint.Reply(body) for body in bodies)).__enter__()
        running.append(endpoint)
        return endpoint

    yield start
    for endpoint in running:
        endpoint.__exit__()


async def test_openai_chat(task: Any, serve: Any) -> None:
    replies = (stub_endpoint.call(("count_letter", ARGUMENTS), ("count_letter", BAD)), stub_endpoint.say("3"))
    endpoint = serve(*(reply.body for reply in replies))
    async with openai.AsyncOpenAI(base_url=endpoint.url, api_key="none") as client, hud.eval(task) as ctx:
        messages: list[Any] = [{"role": "user", "content": ctx.prompt}]
        while True:
            tools: Any = ctx.as_openai_chat_tools(strict=True)
            response = await client.chat.completions.create(model="m", messages=messages, tools=tools)
            message = response.choices[0].message
            messages.append(message)
            if not message.tool_calls:
                break
            for call in message.tool_calls:
                messages.append(await ctx.call_tool(call))  # noqa: PERF401  the loop as users write it
        await ctx.submit(message.content or "")
    assert ctx.reward == 1.0
    _, asked, good, bad = endpoint.bodies[1]["messages"]
    assert asked["tool_calls"][0]["id"] == good["tool_call_id"]
    assert good["content"] == "3"
    assert bad["content"].startswith("[tool error] tool 'count_letter' was not called: invalid JSON")
    assert endpoint.bodies[0]["tools"][0]["function"]["strict"] is True


def responses_body(*output: dict[str, Any]) -> dict[str, Any]:
    fixed = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "object": "response"}
    return {"id": "resp_1", "created_at": 1, "model": "m", "status": "completed", "output": [*output], **fixed}


async def test_openai_responses(task: Any, serve: Any) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "count_letter", "status": "completed"}
    text = {"type": "output_text", "text": "3", "annotations": []}
    endpoint = serve(
        responses_body(
            {"type": "reasoning", "id": "rs_1", "summary": []}, {**call, "arguments": str(ARGUMENTS).replace("'", '"')}
        ),
        responses_body({"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}),
    )
    async with openai.AsyncOpenAI(base_url=endpoint.url, api_key="none") as client, hud.eval(task) as ctx:
        items: list[Any] = [{"role": "user", "content": ctx.prompt}]
        while True:
            tools: Any = ctx.as_openai_responses_tools()
            response = await client.responses.create(model="m", input=items, tools=tools)
            items += response.output
            results = await ctx.call_tools(response.output)
            if not results:
                break
            items += results
        await ctx.submit(response.output_text)
    assert ctx.reward == 1.0
    assert endpoint.bodies[1]["input"][-1] == {"type": "function_call_output", "call_id": "c1", "output": "3"}
    assert endpoint.bodies[0]["tools"][0]["strict"] is False


def claude_body(stop: str, *content: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return {**body, "content": [*content], "stop_reason": stop, "usage": usage}


async def test_claude(task: Any, serve: Any) -> None:
    uses = [
        {"type": "tool_use", "id": f"tu_{number}", "name": name, "input": ARGUMENTS}
        for number, name in enumerate(("count_letter", "count_word"))
    ]
    endpoint = serve(
        claude_body("tool_use", {"type": "text", "text": "Let me count."}, *uses),
        claude_body("end_turn", {"type": "text", "text": "3"}),
    )
    host = endpoint.url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(base_url=host, api_key="none") as client, hud.eval(task) as ctx:
        messages: list[Any] = [{"role": "user", "content": ctx.prompt}]
        runner = ctx.as_anthropic_runner()
        while True:
            tools: Any = ctx.as_claude_tools(cache_control=True)
            response = await client.messages.create(model="m", max_tokens=10, messages=messages, tools=tools)
            messages.append({"role": "assistant", "content": response.content})
            blocks = [block for block in response.content if block.type == "tool_use"]
            if not blocks:
                break
            messages.append({"role": "user", "content": [await runner.run(block) for block in blocks]})
        await ctx.submit("".join(block.text for block in response.content if block.type == "text"))
    assert ctx.reward == 1.0
    good, bad = endpoint.bodies[1]["messages"][-1]["content"]
    assert good == {"type": "tool_result", "tool_use_id": "tu_0", "content": "3"}
    assert bad["is_error"] is True
    assert "unknown tool 'count_word'; there are count_letter" in bad["content"]
    assert endpoint.bodies[0]["tools"][0]["cache_control"] == {"type": "ephemeral"}


def gemini_body(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [*parts]}, "finishReason": "STOP", "index": 0}]}


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # the SDK's own
async def test_gemini(task: Any, serve: Any) -> None:
    endpoint = serve(
        gemini_body(
            {"text": "Let me count.", "thought": True}, {"functionCall": {"name": "count_letter", "args": ARGUMENTS}}
        ),
        gemini_body({"text": "3"}),
    )
    options = types.HttpOptions(base_url=endpoint.url.removesuffix("/v1"))
    client = genai.Client(api_key="none", http_options=options)
    async with client.aio as aio, hud.eval(task) as ctx:
        contents: list[Any] = [types.UserContent(ctx.prompt)]
        config = types.GenerateContentConfig.model_validate({
            "tools": ctx.as_gemini_tools(), "tool_config": ctx.as_gemini_tool_config("ANY", ["count_letter"]),
        })  # fmt: skip
        while True:
            response = await aio.models.generate_content(model="m", contents=contents, config=config)
            content = response.candidates[0].content
            contents.append(content)
            results = await ctx.call_tools(content.parts)
            if not results:
                break
            contents.append(types.Content.model_validate({"role": "user", "parts": results}))
        await ctx.submit(response.text)
    assert ctx.reward == 1.0
    (part,) = endpoint.bodies[1]["contents"][-1]["parts"]
    assert part == {"functionResponse": {"name": "count_letter", "response": {"result": "3"}}}
    assert endpoint.bodies[0]["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["count_letter"]
    (function,) = endpoint.bodies[0]["tools"][0]["functionDeclarations"]
    assert function["parameters"]["required"] == ["text", "letter"]


async def test_geminis_function_calls_stand_alone_too(task: Any) -> None:
    async with hud.eval(task) as ctx:
        for call in (
            types.Part(function_call=types.FunctionCall(id="f1", name="count_letter", args=ARGUMENTS)),
            types.FunctionCall(id="f1", name="count_letter", args=ARGUMENTS),
        ):
            part = types.Part.model_validate(await ctx.call_tool(call))
            assert part.function_response is not None
            assert part.function_response.id == "f1"
            assert part.function_response.response == {"result": "3"}
        empty = await ctx.call_tool(types.FunctionCall(name="count_letter"))
        assert "missing" in empty["function_response"]["response"]["error"]
