"""The agent against servers that speak the API and that are not ours; `nox -s suite` installs them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import openai
import pytest

import hud_core
import hud_local
from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ProviderError
from hud_core.kernel import Kernel
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_openai import OpenAIAgent, OpenAIChatAgent

Tools = Callable[..., Toolbox]
Serve = Callable[..., AbstractContextManager[str]]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


# --- aimock: whole conversations --------------------------------------------------------------------------------------

FIXTURES = {
    "fixtures": [
        {
            "match": {"userMessage": "strawberry", "hasToolResult": False},
            "response": {
                "toolCalls": [
                    {"name": "count_letter", "arguments": json.dumps({"text": "strawberry", "letter": "r"})},
                    {"name": "count_letter", "arguments": json.dumps({"text": "strawberry", "letter": "b"})},
                ]
            },
        },
        {"match": {"userMessage": "strawberry", "hasToolResult": True}, "response": {"content": "3"}},
        {"match": {"hasToolResult": True}, "response": {"content": "3"}},
        {"match": {"userMessage": "think"}, "response": {"content": "ok", "reasoning": "hmm"}},
        {"match": {"userMessage": "cut"}, "response": {"content": "half", "finishReason": "length"}},
        {"match": {"userMessage": "filter"}, "response": {"content": "", "finishReason": "content_filter"}},
        {
            "match": {"userMessage": "overloaded"},
            "response": {"error": {"message": "try later", "type": "server_error"}, "status": 503},
        },
    ]
}


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "fixtures.json").write_text(json.dumps(FIXTURES))
    arguments = ["-f", "fixtures.json", "--strict", "-p"]
    with serve("HUD_TEST_LLMOCK", arguments, folder, "/__aimock/journal") as url:
        yield url


def requests_of(aimock: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{aimock}/__aimock/journal") as journal:
        told = json.load(journal)
    return told if isinstance(told, list) else told["entries"]


@asynccontextmanager
async def agent_for(kind: Any, url: str, *, is_given: bool, **options: Any) -> AsyncIterator[Any]:
    """Make an agent that sends its requests itself, or through a client of the SDK."""
    if not is_given:
        async with kind.create(base_url=url, api_key="sk-x", **options) as agent:
            yield agent
        return
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-x") as client:
        yield kind.create(openai_client=client, **options)


@pytest.mark.parametrize("is_given", [False, True])
async def test_aimock_a_whole_job(aimock: str, is_given: bool) -> None:
    env = hud_core.Environment("letters")
    env.tool(count_letter)

    @env.scenario()
    async def count(word: str, letter: str):  # type: ignore[no-untyped-def]
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    async with agent_for(OpenAIChatAgent, f"{aimock}/v1", is_given=is_given, model="gpt-4o") as agent:
        rollout = await count.task(word="strawberry", letter="r").run(
            agent, kernel=Kernel(plugins=[hud_local], autoload=False)
        )
    assert rollout.reward == 1.0, rollout
    assert rollout.content == "3"
    assert rollout.usage.calls == 2
    entries = requests_of(aimock)
    messages = entries[-1]["body"]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [message["content"] for message in messages[2:]] == ["3", "1"]


@pytest.mark.parametrize(
    ("text", "answer", "stop"), [("cut", "half", StopReason.TRUNCATED), ("filter", "", StopReason.CONTENT_FILTER)]
)
async def test_aimock_finish_reasons(aimock: str, toolbox: Tools, text: str, answer: str, stop: StopReason) -> None:
    async with OpenAIChatAgent.create(base_url=f"{aimock}/v1", model="gpt-4o") as agent:
        got = await agent.run(ask(text), toolbox())
    assert (got.text, got.stop_reason) == (answer, stop)


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("store", [True, False])
async def test_aimock_a_whole_job_over_responses(aimock: str, store: bool, is_given: bool) -> None:
    env = hud_core.Environment("letters")
    env.tool(count_letter)

    @env.scenario()
    async def count(word: str, letter: str):  # type: ignore[no-untyped-def]
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    async with agent_for(OpenAIAgent, f"{aimock}/v1", is_given=is_given, model="gpt-5.4", store=store) as agent:
        rollout = await count.task(word="strawberry", letter="r").run(
            agent, kernel=Kernel(plugins=[hud_local], autoload=False)
        )
    assert (rollout.reward, rollout.usage.calls) == (1.0, 2), rollout
    roles = [message["role"] for message in requests_of(aimock)[-1]["body"]["messages"]]
    said = ["assistant", "tool", "tool"] if store else ["user", "assistant", "assistant", "tool", "tool"]
    assert roles == said  # aimock writes down what it understood; it makes up the calls that it was not sent again


@pytest.mark.parametrize(
    ("text", "answer", "stop"),
    [("cut", "half", StopReason.TRUNCATED), ("think", "ok", StopReason.ANSWERED)],
)
async def test_aimock_how_responses_end(aimock: str, toolbox: Tools, text: str, answer: str, stop: StopReason) -> None:
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with OpenAIAgent.create(base_url=f"{aimock}/v1", model="gpt-5.4") as agent:
        got = await agent.run(ask(text), toolbox())
    trace.current_recorder.reset(token)
    assert (got.text, got.stop_reason) == (answer, stop)
    [called] = [event for event in recorder.pending if event.type == "model_called"]
    assert called.reasoning == ("hmm" if text == "think" else "")


async def test_aimock_overloaded_over_responses(aimock: str, toolbox: Tools) -> None:
    options = {"base_url": f"{aimock}/v1", "max_retries": 0, "overload_patience": 0}
    async with OpenAIAgent.create(**options) as agent:
        with pytest.raises(ProviderError, match="503: try later") as raised:
            await agent.run(ask("overloaded"), toolbox())
    assert raised.value.overloaded


async def test_aimock_overloaded(aimock: str, toolbox: Tools) -> None:
    options = {"max_retries": 1, "overload_patience": 0}
    async with OpenAIChatAgent.create(base_url=f"{aimock}/v1", model="gpt-4o", **options) as agent:
        with pytest.raises(ProviderError, match="503: try later") as raised:
            await agent.run(ask("overloaded"), toolbox())
    assert raised.value.retry
    assert len([entry for entry in requests_of(aimock) if "overloaded" in json.dumps(entry["body"])]) >= 2


# --- LiteLLM: the wire shape, as a strict gateway reads it ------------------------------------------------------------

CONFIG = {
    "model_list": [
        {
            "model_name": "talker",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": "x", "mock_response": "hello from the mock"},
        },
        {
            "model_name": "caller",
            "litellm_params": {
                "model": "openai/gpt-4o",
                "api_key": "x",
                "mock_tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "count_letter", "arguments": '{"text": "strawberry", "letter": "r"}'},
                    }
                ],
            },
        },
        {
            # LiteLLM turns requests for this one into chat-completions, and reads every item on the way
            "model_name": "bridged",
            "litellm_params": {
                "model": "anthropic/claude-sonnet-4-5",
                "api_key": "x",
                "mock_tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "count_letter", "arguments": '{"text": "strawberry", "letter": "r"}'},
                    }
                ],
            },
        },
        {
            "model_name": "limited",
            "litellm_params": {"model": "openai/gpt-4o", "api_key": "x", "mock_response": "litellm.RateLimitError"},
        },
    ],
    "general_settings": {"master_key": "sk-master-of-the-test-proxy"},
    "litellm_settings": {"num_retries": 0},
    "router_settings": {"num_retries": 0, "disable_cooldowns": True},
}


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("litellm")
    (folder / "config.yaml").write_text(json.dumps(CONFIG))  # JSON is YAML
    arguments = ["--config", "config.yaml", "--host", "127.0.0.1", "--port"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with serve("HUD_TEST_LITELLM", arguments, folder, "/health/liveliness", **quiet) as url:
        yield url


def options_of(litellm: str, model: str, **options: Any) -> dict[str, Any]:
    key = CONFIG["general_settings"]["master_key"]  # type: ignore[index,call-overload]
    own = {"base_url": litellm, "model": model, "api_key": key, "max_retries": 0, "overload_patience": 0}
    return {**own, **options}


def through(litellm: str, model: str, **options: Any) -> OpenAIChatAgent:
    return OpenAIChatAgent.create(**options_of(litellm, model, **options))


async def test_litellm_answers(litellm: str, toolbox: Tools) -> None:
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    content = (TextContent(text="look"), ImageContent(data=PIXEL))
    async with through(litellm, "talker", temperature=0.2, system_prompt="be brief") as agent:
        answer = await agent.run(Prompt(messages=(Message(content=content),)), toolbox(count_letter))
    trace.current_recorder.reset(token)
    assert (answer.text, answer.stop_reason) == ("hello from the mock", StopReason.ANSWERED)
    assert recorder.usage.calls == 1
    assert recorder.usage.output_tokens > 0


async def test_litellm_takes_tool_results_images_and_schemas(litellm: str, toolbox: Tools) -> None:
    def count_letter(text: str, letter: str) -> list[Any]:
        return [TextContent(text=str(text.count(letter))), ImageContent(data=PIXEL)]

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with through(litellm, "caller") as agent:
        answer = await agent.run(ask("count", answer_schema=schema), toolbox(count_letter), max_steps=3)
    assert answer.stop_reason is StopReason.MAX_STEPS


async def test_litellm_limits_rates(litellm: str, toolbox: Tools) -> None:
    async with through(litellm, "limited") as agent:
        with pytest.raises(ProviderError, match="answered 429") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.retry


async def test_litellm_refuses_a_wrong_key_and_an_unknown_model(litellm: str, toolbox: Tools) -> None:
    for options in ({"model": "talker", "api_key": "sk-wrong"}, {"model": "nobody"}):
        async with through(litellm, **options) as agent:
            with pytest.raises(ProviderError, match=r"answered 40[0-4]") as raised:
                await agent.run(ask("x"), toolbox())
        assert not raised.value.retry
        assert "sk-wrong" not in str(raised.value)


async def test_litellm_answers_over_responses(litellm: str, toolbox: Tools) -> None:
    options = options_of(litellm, "talker", temperature=0.2, system_prompt="be brief", max_output_tokens=99)
    async with OpenAIAgent.create(**options) as agent:
        answer = await agent.run(ask("look"), toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("hello from the mock", StopReason.ANSWERED)


@pytest.mark.parametrize("store", [True, False])
async def test_litellm_takes_tool_results_images_and_schemas_over_responses(
    litellm: str, toolbox: Tools, store: bool
) -> None:
    counted: list[int] = []

    def count_letter(text: str, letter: str = "r") -> list[Any]:
        counted.append(text.count(letter))
        return [TextContent(text=str(counted[-1])), ImageContent(data=PIXEL)]

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    content = (TextContent(text="look"), ImageContent(data=PIXEL))
    prompt = Prompt(messages=(Message(content=content),), answer_schema=schema)
    async with OpenAIAgent.create(**options_of(litellm, "bridged", store=store)) as agent:
        answer = await agent.run(prompt, toolbox(count_letter), max_steps=3)
    assert answer.stop_reason is StopReason.MAX_STEPS
    assert counted == [3, 3, 3]


async def test_litellm_knows_no_such_model_over_responses(litellm: str, toolbox: Tools) -> None:
    async with OpenAIAgent.create(**options_of(litellm, "nobody")) as agent:
        with pytest.raises(ProviderError, match=r"answered 40[0-4]") as raised:
            await agent.run(ask("x"), toolbox())
    assert not raised.value.retry
