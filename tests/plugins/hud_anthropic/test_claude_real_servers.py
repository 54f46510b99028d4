"""The agent against servers that speak the Messages API and that are not ours; `nox -s suite` installs them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import hud_core
import hud_local
from hud_anthropic import ClaudeAgent
from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ProviderError
from hud_core.kernel import Kernel
from hud_core.model.content import ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import StopReason

pytestmark = pytest.mark.slow  # the servers take their time to start

Tools = Callable[..., Toolbox]
Serve = Callable[..., AbstractContextManager[str]]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
KEY = "sk-master-of-the-test-proxy"


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


# --- aimock: whole conversations --------------------------------------------------------------------------------------


def calls(*letters: str) -> list[dict[str, str]]:
    return [
        {"name": "count_letter", "arguments": json.dumps({"text": "strawberry", "letter": letter})}
        for letter in letters
    ]


FIXTURES = {
    "fixtures": [
        {"match": {"userMessage": "strawberry", "hasToolResult": False}, "response": {"toolCalls": calls("r", "b")}},
        {"match": {"hasToolResult": True}, "response": {"content": "3"}},
        {"match": {"userMessage": "cut"}, "response": {"content": "half", "finishReason": "length"}},
        {"match": {"userMessage": "think"}, "response": {"content": "3", "reasoning": "let me see"}},
        {"match": {"userMessage": "where"}, "response": {"content": '{"answer": 3}'}},
        {
            "match": {"userMessage": "overloaded"},
            "response": {"error": {"message": "try later", "type": "overloaded_error"}, "status": 529},
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


def last_request(aimock: str) -> Any:
    with urllib.request.urlopen(f"{aimock}/__aimock/journal") as journal:
        told = json.load(journal)
    return (told if isinstance(told, list) else told["entries"])[-1]["body"]


async def solve(agent: ClaudeAgent) -> hud_core.Rollout:
    """Let an agent count letters, in a whole rollout."""
    env = hud_core.Environment("letters")
    env.tool(count_letter)

    @env.scenario()
    async def count(word: str, letter: str):  # type: ignore[no-untyped-def]
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    async with agent:
        kernel = Kernel(plugins=[hud_local], autoload=False)
        return await count.task(word="strawberry", letter="r").run(agent, kernel=kernel)


async def test_aimock_a_whole_job(aimock: str) -> None:
    rollout = await solve(ClaudeAgent.create(base_url=aimock, api_key="sk-x", system_prompt="be brief"))
    assert (rollout.reward, rollout.content, rollout.usage.calls) == (1.0, "3", 2), rollout
    messages = last_request(aimock)["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool"]


@pytest.mark.parametrize(
    ("text", "answer", "stop"), [("cut", "half", StopReason.TRUNCATED), ("think", "3", StopReason.ANSWERED)]
)
async def test_aimock_how_turns_end(aimock: str, toolbox: Tools, text: str, answer: str, stop: StopReason) -> None:
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with ClaudeAgent.create(base_url=aimock, api_key="sk-x", thinking=2000) as agent:
        got = await agent.run(ask(text), toolbox())
    trace.current_recorder.reset(token)
    assert (got.text, got.stop_reason) == (answer, stop)
    [call] = [event for event in recorder.pending if event.type == "model_called"]
    assert call.reasoning == ("let me see" if text == "think" else "")


async def test_aimock_overloaded(aimock: str, toolbox: Tools) -> None:
    options = {"base_url": aimock, "api_key": "sk-x", "max_retries": 0, "overload_patience": 0}
    async with ClaudeAgent.create(**options) as agent:
        with pytest.raises(ProviderError, match="529: try later") as raised:
            await agent.run(ask("overloaded"), toolbox())
    assert raised.value.overloaded


# --- LiteLLM: what a gateway understands that reads every block, and hands it on in other forms -----------------------


def model(name: str, upstream: str, **parameters: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": upstream, "api_key": "x", **parameters}}


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory, serve: Serve, aimock: str) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("litellm")
    config = {
        "model_list": [
            model("as-responses", "openai/gpt-4o", api_base=f"{aimock}/v1"),
            model("as-chat", "hosted_vllm/gpt-4o", api_base=f"{aimock}/v1"),
            model("as-messages", "anthropic/claude-sonnet-4-5", api_base=aimock),
            model("talker", "openai/gpt-4o", mock_response="hello from the mock"),
            model("limited", "openai/gpt-4o", mock_response="litellm.RateLimitError"),
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    arguments = ["--config", "config.yaml", "--host", "127.0.0.1", "--port"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with serve("HUD_TEST_LITELLM", arguments, folder, "/health/liveliness", **quiet) as url:
        yield url


def through(litellm: str, name: str, **options: Any) -> ClaudeAgent:
    own = {"base_url": litellm, "model": name, "api_key": KEY, "max_retries": 0, "overload_patience": 0}
    return ClaudeAgent.create(**{**own, **options})


@pytest.mark.parametrize("name", ["as-responses", "as-chat", "as-messages"])
async def test_litellm_a_whole_job_in_every_form(litellm: str, name: str) -> None:
    rollout = await solve(through(litellm, name, system_prompt="be brief"))
    assert (rollout.reward, rollout.content, rollout.usage.calls) == (1.0, "3", 2), rollout


@pytest.mark.parametrize("name", ["as-responses", "as-chat", "as-messages"])
async def test_litellm_takes_images_documents_and_schemas(litellm: str, toolbox: Tools, name: str) -> None:
    content = (
        TextContent(text="where is it?"),
        ImageContent(data=PIXEL),
        ResourceContent(uri="file:///notes.txt", text="it is here", mimeType="text/plain"),
    )
    prompt = Prompt(messages=(Message(content=content),), answer_schema={"type": "integer"})
    async with through(litellm, name) as agent:
        assert (await agent.run(prompt, toolbox(count_letter))).structured == 3


async def test_litellm_answers_in_one_piece(litellm: str, toolbox: Tools) -> None:
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with through(litellm, "talker") as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "hello from the mock"
    trace.current_recorder.reset(token)
    assert recorder.usage.input_tokens > 0


async def test_litellm_limits_rates(litellm: str, toolbox: Tools) -> None:
    async with through(litellm, "limited") as agent:
        with pytest.raises(ProviderError, match="answered 429") as raised:
            await agent.run(ask("x"), toolbox())
    assert raised.value.overloaded


async def test_litellm_refuses_a_wrong_key_and_an_unknown_model(litellm: str, toolbox: Tools) -> None:
    for options in ({"name": "talker", "api_key": "sk-wrong"}, {"name": "nobody"}):
        async with through(litellm, **options) as agent:
            with pytest.raises(ProviderError, match=r"answered 40[0-4]") as raised:
                await agent.run(ask("x"), toolbox())
        assert not raised.value.retry
        assert "sk-wrong" not in str(raised.value)
