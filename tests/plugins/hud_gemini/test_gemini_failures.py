"""What happens when the endpoint fails, at the HTTP boundary."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import aiohttp
import httpx2
import pytest
from google import genai

from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_gemini import GeminiAgent

pytestmark = pytest.mark.slow
Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
Agents = Callable[..., Any]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))

RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
PER_MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]}
PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


async def failure(agent: Any, toolbox: Tools) -> ProviderError:
    async with agent:
        with pytest.raises(ProviderError) as raised:
            await agent.run(PROMPT, toolbox())
    return raised.value


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("status", "details", "headers", "retry", "after", "overloaded"),
    [
        (429, [], {}, True, None, True),
        (429, [PER_MINUTE, RETRY_INFO], {}, True, 34.5, True),
        (429, [], {"retry-after": "7"}, True, 7, True),
        (429, [{"retryDelay": "soon"}], {"retry-after": "soon"}, True, None, True),
        (429, [PER_DAY, RETRY_INFO], {}, False, 34.5, False),
        (503, [], {"retry-after": "1.5"}, True, 1.5, True),
        (500, [], {}, True, None, False),
        (504, [], {}, True, None, False),
        (499, [], {}, True, None, False),
        (400, [], {}, False, None, False),
        (400, [BAD_KEY], {}, False, None, False),
        (403, [], {}, False, None, False),
        (404, [], {}, False, None, False),
    ],
)
async def test_what_answers_mean(
    endpoint: Endpoint,
    stub: ModuleType,
    toolbox: Tools,
    agent_of: Agents,
    status: int,
    details: list[Any],
    headers: dict[str, str],
    retry: bool,
    after: float | None,
    overloaded: bool,
) -> None:
    server = endpoint(stub.fail(status, "no way", *details, headers=headers))
    error = await failure(agent_of(server), toolbox)
    assert str(error) == f"{server.url.removesuffix('/v1')} answered {status}: no way"
    assert (error.retry, error.retry_after, error.overloaded) == (retry, after, overloaded)
    assert len(server.requests) == 1


async def test_failures_that_pass_are_tried_again_by_the_kernel(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.fail(429, "no", {"retryDelay": "0.01s"}), stub.hang_up(), stub.say("ok"))
    async with agent_of(server, max_retries=1, overload_patience=1) as agent:
        assert (await agent.run(PROMPT, toolbox())).text == "ok"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "text",
    [
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
        "Unable to submit request because the input token count is 9 but model only supports up to 8.",
    ],
)
async def test_a_conversation_that_is_too_long_ends_the_attempt(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, text: str
) -> None:
    async with agent_of(endpoint(stub.fail(400, text))) as agent:
        assert (await agent.run(PROMPT, toolbox())).stop_reason is StopReason.CONTEXT_OVERFLOW


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "not one of the Gemini API"),
        (b"", "not one of the Gemini API"),
        ({"candidates": 5}, "not one of the Gemini API"),
        ({"candidates": [{"content": {"parts": [5]}}]}, "not one of the Gemini API"),
        ({"candidates": []}, "without a candidate, and gave no reason"),
        ({}, "without a candidate, and gave no reason"),
    ],
)
async def test_answers_that_are_none(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, body: Any, said: str
) -> None:
    error = await failure(agent_of(endpoint(stub.Reply(body))), toolbox)
    assert said in str(error)
    assert error.retry


@pytest.mark.parametrize(
    "body",
    [
        b"<html>oh</html>",
        b'{"error"',
        b"[]",
        b'["x"]',
        b'{"error": "down"}',
        b'{"error": {"details": 5}}',
        b'{"error": {"details": ["x", {"retryDelay": "1.2.3s", "violations": 5, "reason": {}}]}}',
    ],
)
async def test_errors_that_are_none_of_google_s(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents, body: bytes
) -> None:
    assert (await failure(agent_of(endpoint(stub.Reply(body, 502))), toolbox)).retry


async def test_an_endpoint_that_is_not_there(toolbox: Tools, agent_of: Agents) -> None:
    error = await failure(agent_of("http://127.0.0.1:9"), toolbox)
    assert str(error).startswith("cannot reach http://127.0.0.1:9: ")
    assert error.retry


async def test_an_endpoint_that_takes_too_long(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    slow = stub.say("late")
    slow.delay = 30
    error = await failure(agent_of(endpoint(slow), timeout=0.1), toolbox)
    assert "did not answer in time; setting 'timeout'" in str(error)
    assert error.retry


@pytest.fixture
def cut() -> Iterator[str]:
    """An endpoint that breaks off in the middle of its answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


async def test_an_answer_that_is_cut_off(cut: str, toolbox: Tools, agent_of: Agents) -> None:
    error = await failure(agent_of(cut), toolbox)
    assert str(error) == f"{cut} gave an answer that cannot be read: the connection was closed in the middle"
    assert error.retry


async def test_a_proxy_that_is_not_spoken(toolbox: Tools, agent_of: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:planted@127.0.0.1:9")
    async with agent_of("http://nobody.invalid") as agent:
        with pytest.raises(ConfigError, match=r"'socks5://127.0.0.1:9'.*'model_client'") as raised:
            await agent.run(PROMPT, toolbox())
    assert "planted" not in str(raised.value)


@pytest.fixture(params=["httpx_async_client", "aiohttp_client"])
async def http_option(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """An HTTP client of each kind that the SDK takes, as an option of its own client."""
    is_httpx = request.param == "httpx_async_client"
    async with httpx2.AsyncClient() if is_httpx else aiohttp.ClientSession() as http_client:
        yield {request.param: http_client}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # aiohttp knows no other
async def test_what_a_client_of_one_s_own_raises_is_understood(
    cut: str, endpoint: Endpoint, stub: ModuleType, toolbox: Tools, http_option: dict[str, Any]
) -> None:
    slow = stub.say("late")
    slow.delay = 30
    for url, options, said in (
        (cut, {}, f"no answer from {cut}: "),
        (endpoint(slow).url, {"timeout": 100}, "did not answer in time; setting 'timeout'"),
        ("http://127.0.0.1:9", {}, "no answer from http://127.0.0.1:9: "),
    ):
        how = genai.types.HttpOptions(base_url=url, **http_option, **options)
        with genai.Client(api_key="own", vertexai=False, http_options=how) as client:
            error = await failure(GeminiAgent.create(model_client=client, max_retries=0, overload_patience=0), toolbox)
        assert said in str(error)
        assert error.retry


async def test_no_error_repeats_the_key(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    server = endpoint(stub.fail(403, "key sk-planted-123 is wrong, tenant sk-planted-tenant"))
    agent = agent_of(server, api_key="sk-planted-123", extra_headers={"x-tenant": "sk-planted-tenant"})
    assert str(await failure(agent, toolbox)).endswith("answered 403: key *** is wrong, tenant ***")


async def test_no_error_repeats_the_key_of_a_client_of_one_s_own(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.fail(403, "key sk-planted-123 is wrong"))
    async with httpx2.AsyncClient() as http_client:
        options = genai.types.HttpOptions(base_url=server.url, httpx_async_client=http_client)
        with genai.Client(api_key="sk-planted-123", vertexai=False, http_options=options) as client:
            error = await failure(GeminiAgent.create(model_client=client), toolbox)
    assert str(error).endswith("answered 403: key *** is wrong")


async def test_no_answer_repeats_the_key(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.say("your key is sk-planted-123"))
    for key, said in (("sk-planted-123", "your key is ***"), ("k", "your key is sk-planted-123")):
        async with agent_of(server, api_key=key) as agent:
            assert (await agent.run(PROMPT, toolbox())).text == said
