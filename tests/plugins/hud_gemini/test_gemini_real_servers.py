"""The agent against servers that speak the API and that are not ours; `nox -s suite` installs them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import stub_endpoint as chat

import hud_core
import hud_local
from hud_core.environment.session import Toolbox
from hud_core.errors import ProviderError
from hud_core.kernel import Kernel
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason

pytestmark = pytest.mark.slow
Serve = Callable[..., AbstractContextManager[str]]
Tools = Callable[..., Toolbox]
Agents = Callable[..., Any]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


# --- aimock: whole conversations --------------------------------------------------------------------------------------


def fixture(said: str, response: dict[str, Any], **match: Any) -> dict[str, Any]:
    return {"match": {"userMessage": said, **match}, "response": response}


def counting(letter: str) -> dict[str, Any]:
    return {"name": "count_letter", "arguments": json.dumps({"text": "strawberry", "letter": letter})}


FIXTURES = {
    "fixtures": [
        fixture("strawberry", {"toolCalls": [counting("r"), counting("b")]}, hasToolResult=False),
        fixture("strawberry", {"content": "3"}, hasToolResult=True),
        fixture("think", {"content": "done", "reasoning": "hm"}),
        fixture("cut", {"content": "half", "finishReason": "length"}),
        fixture("filter", {"content": "", "finishReason": "content_filter"}),
        fixture("busy", {"error": {"message": "try later", "type": "UNAVAILABLE"}, "status": 503}),
    ]
}


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aimock-gemini")
    (folder / "fixtures.json").write_text(json.dumps(FIXTURES))
    with serve("HUD_TEST_LLMOCK", ["-f", "fixtures.json", "--strict", "-p"], folder, "/__aimock/journal") as url:
        yield url


def requests_of(aimock: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{aimock}/__aimock/journal") as journal:
        told = json.load(journal)
    return told if isinstance(told, list) else told["entries"]


async def test_aimock_a_whole_job(aimock: str, agent_of: Agents) -> None:
    env = hud_core.Environment("letters")
    env.tool(count_letter)

    @env.scenario()
    async def count(word: str, letter: str):  # type: ignore[no-untyped-def]
        answer = yield f"How many {letter} are in {word}?"
        yield float(answer == str(word.count(letter)))

    async with agent_of(aimock) as agent:
        rollout = await count.task(word="strawberry", letter="r").run(
            agent, kernel=Kernel(plugins=[hud_local], autoload=False)
        )
    assert (rollout.reward, rollout.content, rollout.usage.calls) == (1.0, "3", 2), rollout
    messages = requests_of(aimock)[-1]["body"]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [json.loads(message["content"]) for message in messages[2:]] == [{"output": "3"}, {"output": "1"}]


@pytest.mark.parametrize(
    ("text", "answer", "stop"),
    [
        ("think", "done", StopReason.ANSWERED),
        ("cut", "half", StopReason.TRUNCATED),
        ("filter", "", StopReason.CONTENT_FILTER),
    ],
)
async def test_aimock_how_turns_end(
    aimock: str, agent_of: Agents, toolbox: Tools, text: str, answer: str, stop: StopReason
) -> None:
    async with agent_of(aimock) as agent:
        got = await agent.run(ask(text), toolbox())
    assert (got.text, got.stop_reason) == (answer, stop)


async def test_aimock_busy(aimock: str, agent_of: Agents, toolbox: Tools) -> None:
    async with agent_of(aimock) as agent:
        with pytest.raises(ProviderError, match="answered 503: try later") as raised:
            await agent.run(ask("busy"), toolbox())
    assert (raised.value.retry, raised.value.overloaded) == (True, True)


# --- LiteLLM: the wire shape, as a gateway reads it and hands it on to a chat-completions endpoint --------------------

KEY = "sk-master-of-the-test-proxy"


def upstream(request: chat.Request) -> chat.Reply:
    """Be the model behind the gateway: it counts with the tool, then answers; or is limited."""
    body = request.body or {"messages": []}  # the gateway asks what models there are, too
    if "limited" in json.dumps(body):
        return chat.fail(429, "slow down", retry_after="1")
    counts = "tools" in body and not any(message["role"] == "tool" for message in body["messages"])
    return chat.call(("count_letter", {"text": "rr", "letter": "r"})) if counts else chat.say("hello")


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[tuple[str, Any]]:
    """The gateway's URL, and the endpoint behind it."""
    folder = tmp_path_factory.mktemp("litellm-gemini")
    arguments = ["--config", "config.yaml", "--host", "127.0.0.1", "--port"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with chat.StubEndpoint(upstream) as behind:
        model = {"model": "openai/gpt-4o", "api_key": "x", "api_base": behind.url, "max_retries": 0}
        config = {
            "model_list": [{"model_name": "gemini-3-stand-in", "litellm_params": model}],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"num_retries": 0},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        with serve("HUD_TEST_LITELLM", arguments, folder, "/health/liveliness", **quiet) as url:
            yield url, behind


async def test_litellm_understands_a_conversation(litellm: tuple[str, Any], agent_of: Agents, toolbox: Tools) -> None:
    url, behind = litellm
    content = (TextContent(text="look"), ImageContent(data=PIXEL))  # which it takes, and does not hand on
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    options = {"model": "gemini-3-stand-in", "api_key": KEY, "system_prompt": "be brief", "temperature": 0.5}
    async with agent_of(url, **options) as agent:
        prompt = Prompt(messages=(Message(content=content),), answer_schema=schema)
        answer = await agent.run(prompt, toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("hello", StopReason.ANSWERED)
    body = behind.bodies[-1]
    system, user, assistant, tool = body["messages"]
    assert system == {"role": "system", "content": "be brief"}
    assert user == {"role": "user", "content": "look"}
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"text": "rr", "letter": "r"}
    assert tool["tool_call_id"] == assistant["tool_calls"][0]["id"]
    assert json.loads(tool["content"]) == {"output": "2"}
    assert body["temperature"] == 0.5
    assert set(body["tools"][0]["function"]["parameters"]["properties"]) == {"text", "letter"}


@pytest.mark.parametrize(
    ("options", "text", "status", "retry"),
    [
        ({"model": "gemini-3-stand-in", "api_key": KEY}, "limited", "429", True),
        ({"model": "gemini-3-stand-in", "api_key": "sk-wrong"}, "x", "40[01]", False),
        ({"model": "nobody", "api_key": KEY}, "x", "40[04]", False),
    ],
)
async def test_litellm_refuses(
    litellm: tuple[str, Any],
    agent_of: Agents,
    toolbox: Tools,
    options: dict[str, str],
    text: str,
    status: str,
    retry: bool,
) -> None:
    async with agent_of(litellm[0], **options) as agent:
        with pytest.raises(ProviderError, match=f"answered {status}") as raised:
            await agent.run(ask(text), toolbox())
    assert (raised.value.retry, raised.value.overloaded) == (retry, retry)
    assert "sk-wrong" not in str(raised.value)
