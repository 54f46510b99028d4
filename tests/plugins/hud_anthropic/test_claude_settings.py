from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import anthropic
import httpx2
import pytest

from hud_anthropic import ClaudeAgent
from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"model": "claude-opus-4-5"}, {"model": "claude-opus-4-5"}),
        ({"checkpoint_name": "claude-opus-4-5"}, {"model": "claude-opus-4-5"}),
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}),
        ({"stop_sequences": "END"}, {"stop_sequences": ["END"]}),
        ({"stop_sequences": ["A", "B"]}, {"stop_sequences": ["A", "B"]}),
        ({"thinking": 1024}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (
            {"thinking": "adaptive", "effort": "low"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        (
            {"metadata": {"user_id": "u"}, "service_tier": "auto"},
            {"metadata": {"user_id": "u"}, "service_tier": "auto"},
        ),
        ({"extra_body": {"speed": "fast"}}, {"speed": "fast"}),
        ({"system_prompt": "be brief"}, {"system": "be brief"}),
    ],
)
async def test_settings_reach_the_request(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, options: dict[str, Any], sent: dict[str, Any]
) -> None:
    server = endpoint(stub.say("ok"))
    common = {"base_url": server.url, "api_key": "sk-1", "prompt_caching": False}
    async with ClaudeAgent.create(**common, **options) as agent:
        await agent.run(PROMPT, toolbox())
    [body] = server.bodies
    standard = {"model": "claude-sonnet-4-5", "max_tokens": 16384, "stream": True, "messages": body["messages"]}
    assert body == {**standard, **sent}


async def test_betas_and_headers(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    options = {"betas": "context-1m-2025-08-07", "extra_headers": {"x-tenant": "t"}, "api_key": "sk-1"}
    async with ClaudeAgent.create(base_url=server.url, **options) as agent:
        await agent.run(PROMPT, toolbox())
    [request] = server.requests
    assert request.path == "/v1/messages?beta=true"
    assert request.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert request.headers["x-tenant"] == "t"
    assert request.headers["anthropic-version"]


# --- whom to ask ------------------------------------------------------------------------------------------------------


def keys(request: Any) -> set[str]:
    """Give the key of a request, in whichever header the SDK sends it."""
    given = (request.headers.get("x-api-key"), request.headers.get("authorization", "").removeprefix("Bearer "))
    return {key for key in given if key}


async def test_the_endpoint_and_the_key_may_come_from_the_environment(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = endpoint(stub.say("ok"))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-env")
    for options, key in (({}, "sk-env"), ({"api_key": "sk-given"}, "sk-given")):
        async with ClaudeAgent.create(**options) as agent:
            await agent.run(PROMPT, toolbox())
        assert keys(server.requests[-1]) == {key}


async def test_a_gateway_without_keys_needs_none(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    with pytest.raises(ConfigError, match="claude needs a key: set ANTHROPIC_API_KEY"):
        ClaudeAgent.create(base_url=server.url)
    async with ClaudeAgent.create(base_url=server.url, validate_api_key=False) as agent:
        assert (await agent.run(PROMPT, toolbox())).text == "ok"


async def test_a_client_of_one_s_own_is_used_and_stays_open(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-env")
    server = endpoint(stub.fail(500), stub.say("ok"))
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sk-own", max_retries=5) as client:
        async with ClaudeAgent.create(model_client=client, max_retries=0) as agent:
            with pytest.raises(Exception, match=f"{server.url}/? answered 500"):  # its retries are the kernel's, too
                await agent.run(PROMPT, toolbox())
            assert (await agent.run(PROMPT, toolbox())).text == "ok"
        assert not client.is_closed()
    assert keys(server.requests[0]) == {"sk-own"}
    assert len(server.requests) == 2


async def test_a_client_with_middleware_of_its_own_fails_as_others_do(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    passed = []

    async def middleware(request: Any, call_next: Any) -> Any:
        passed.append(request)
        return await call_next(request)

    server = endpoint(stub.fail(429, retry_after="7"), stub.say("ok"))
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sk-own", middleware=[middleware]) as client:
        agent = ClaudeAgent.create(model_client=client, max_retries=0, overload_patience=0)
        with pytest.raises(ProviderError, match="answered 429") as raised:
            await agent.run(PROMPT, toolbox())
        assert (await agent.run(PROMPT, toolbox())).text == "ok"
    assert (raised.value.retry_after, len(passed)) == (7, 2)


async def test_clients_of_clouds_are_handed_what_they_turn_into_requests(stub: ModuleType, toolbox: Tools) -> None:
    seen: list[httpx2.Request] = []
    stream = b"".join(
        f"event: {event['type']}\ndata: {stub.json.dumps(event)}\n\n".encode() for event in stub.say("ok").events
    )

    async def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        kind = ("text/event-stream", "application/vnd.amazon.eventstream")[len(seen) - 1]
        return httpx2.Response(200, content=stream, headers={"content-type": kind})

    client = anthropic.AsyncAnthropicVertex(
        region="r",
        project_id="p",
        access_token="t",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer)),
    )
    async with client:
        agent = ClaudeAgent.create(model="claude-sonnet-4-5@20250929", model_client=client)
        for _ in range(2):  # as Vertex streams, and through the SDK's own reading, which knows what Bedrock streams
            assert (await agent.run(PROMPT, toolbox())).text == "ok"
    assert {request.url.path for request in seen} == {
        "/v1/projects/p/locations/r/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict"
    }
    body = stub.json.loads(seen[0].content)
    assert body["anthropic_version"]
    assert "model" not in body


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": ""}, "claude needs a model"),
        ({"base_url": "localhost:8000"}, "'base_url' must begin with http"),
        ({"base_url": "http://me:pass@x"}, "must hold no user and password"),
        ({"base_url": "http://x:abc?key=sk-2"}, "'http://x:abc' is no address"),
        ({"temprature": 1}, r"unknown setting 'temprature'; did you mean 'temperature'\?"),
        ({"max_tokens": "9"}, "'max_tokens' must be int, got str"),
        ({"max_tokens": 0}, "'max_tokens' must be at least 1, got 0"),
        ({"api_key": 5}, "'api_key' must be str, got int"),
        ({"thinking": 100}, "at least 1024 tokens and less than max_tokens=16384, got 100"),
        ({"thinking": 16384}, "less than max_tokens=16384, got 16384"),
        ({"thinking": {"type": "enabled", "budget_tokens": "2000"}}, "less than max_tokens=16384, got '2000'"),
        ({"thinking": {"budget_tokens": 2000}}, "'thinking' must have a 'type'"),
        ({"thinking": True}, "'thinking' must be dict, got bool"),
        ({"effort": "huge"}, "'effort' must be 'low' or .*, got 'huge'"),
        ({"cache_ttl": "2d"}, "'cache_ttl' must be '5m' or '1h', got '2d'"),
        ({"structured_output": "maybe"}, "must be 'schema' or 'prompt', got 'maybe'"),
        ({"extra_body": {"stream": False, "top_k": 3}}, "'extra_body' must not hold stream, top_k"),
        ({"model_client": anthropic.Anthropic(api_key="sk-sync")}, "must be an asynchronous client .*, got Anthropic"),
        ({"model_client": "gpt"}, "must be an asynchronous client .*, got str"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        ClaudeAgent.create(**{"api_key": "sk-1", **options})
    assert "sk-" not in str(raised.value)


def test_a_budget_of_the_whole_turn_may_exceed_one_answer() -> None:
    agent = ClaudeAgent.create(api_key="sk-1", thinking=30000, betas=["interleaved-thinking-2025-05-14"])
    assert agent.config.thinking == {"type": "enabled", "budget_tokens": 30000}


def test_the_fingerprint_is_of_what_decides_the_answers() -> None:
    def fingerprint(**options: Any) -> str:
        return ClaudeAgent.create(**{"api_key": "sk-1", **options}).fingerprint

    same = [{"api_key": "sk-2"}, {"timeout": 3}, {"prompt_caching": False}, {"extra_headers": {"x": "y"}}]
    other = [{"temperature": 0.5}, {"model": "claude-opus-4-5"}, {"thinking": 2000}, {"base_url": "http://x"}]
    assert {fingerprint(**options) for options in same} == {fingerprint()}
    assert len({fingerprint(), *(fingerprint(**options) for options in other)}) == 5


def test_two_clients_of_ones_own_are_told_apart_by_their_addresses() -> None:
    clients = [anthropic.AsyncAnthropic(api_key="sk-1", base_url=f"http://{host}") for host in ("a", "b")]
    one, other = (ClaudeAgent.create(model_client=client).fingerprint for client in clients)
    assert one != other  # and so are their answers in the cache
    assert one == ClaudeAgent.create(api_key="sk-1", base_url="http://a").fingerprint
