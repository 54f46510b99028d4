"""What goes wrong means the same, whether the agent sends its requests itself or through a client of the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import openai
import pytest

from hud_core.environment.session import Toolbox
from hud_core.errors import ContextOverflowError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_http.transport import http_client
from hud_openai import OpenAIAgent, OpenAIChatAgent
from hud_openai.client import RefusedError, RejectedError

PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))
KEY = "sk-planted-123"
Tools = Callable[..., Toolbox]


@asynccontextmanager
async def made(kind: Any, url: str, *, is_given: bool, seconds: float = 30) -> AsyncIterator[Any]:
    options = {"model": "m", "max_retries": 0, "overload_patience": 0}
    if not is_given:
        async with kind.create(base_url=url, api_key=KEY, timeout=seconds, **options) as agent:
            yield agent
        return
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, timeout=seconds) as client:
        yield kind.create(openai_client=client, **options)


@pytest.mark.parametrize("kind", [OpenAIChatAgent, OpenAIAgent])
@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize(
    ("make", "said", "expected", "how"),
    [
        (lambda stub: stub.fail(429, "slow", retry_after="7"), "answered 429: slow", RefusedError, (True, 7.0, True)),
        (lambda stub: stub.fail(500, f"bad {KEY}"), r"answered 500: bad \*\*\*", RefusedError, (True, None, False)),
        (lambda stub: stub.fail(401, f"no {KEY}"), r"answered 401: no \*\*\*", RefusedError, (False, None, False)),
        (lambda stub: stub.fail(422, "no", error={"code": 5}), "answered 422", RejectedError, (False, None, False)),
        (lambda stub: stub.Reply(b"<h1>oh</h1>", 502), "answered 502: <h1>oh</h1>", RefusedError, (True, None, False)),
        (lambda stub: stub.Reply({"detail": "gone"}, 404), "answered 404.*gone", RefusedError, (False, None, False)),
        (lambda stub: stub.hang_up(), "127.0.0.1", ProviderError, (True, None, False)),
        (lambda stub: stub.Reply({"choices": []}, cut=True), "127.0.0.1", ProviderError, (True, None, False)),
        (lambda stub: stub.Reply(delay=30), "did not answer in time", ProviderError, (True, None, False)),
    ],
)  # fmt: skip
async def test_failures(
    endpoint: Callable[..., Any], stub: ModuleType, toolbox: Tools, kind: Any, is_given: bool, make: Any, said: str,
    expected: type, how: Any,
) -> None:  # fmt: skip
    server = endpoint(make(stub))
    async with made(kind, server.url, is_given=is_given, seconds=0.3 if "time" in said else 30) as agent:
        with pytest.raises(ProviderError, match=said) as raised:
            await agent.run(PROMPT, toolbox())
    error = raised.value
    assert type(error) is expected
    assert (error.retry, error.retry_after, error.overloaded) == how
    assert KEY not in f"{error} {error!r}"
    assert len(server.requests) == 1 or ("time" in said and not server.requests)  # it may not even have got there


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_context_that_is_full(
    endpoint: Callable[..., Any], stub: ModuleType, toolbox: Tools, is_given: bool
) -> None:
    server = endpoint(stub.fail(400, "no", error={"code": "context_length_exceeded"}))
    async with made(OpenAIChatAgent, server.url, is_given=is_given) as agent:
        with pytest.raises(ContextOverflowError):
            await agent._endpoint.complete({"messages": []})


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize(("status", "is_refused"), [(200, False), (404, False), (401, True), (403, True), (500, False)])
async def test_whether_a_key_is_good(
    endpoint: Callable[..., Any], stub: ModuleType, is_given: bool, status: int, is_refused: bool
) -> None:
    server = endpoint(stub.Reply({"data": []}) if status == 200 else stub.fail(status, f"about {KEY}"))
    async with made(OpenAIAgent, server.url, is_given=is_given) as agent:
        if is_refused:
            with pytest.raises(RefusedError, match=r"about \*\*\*"):
                await agent._endpoint.check_key()
        else:
            await agent._endpoint.check_key()
    assert server.requests[0].path == "/v1/models"


@pytest.mark.parametrize("is_given", [False, True])
async def test_nobody_listens(toolbox: Tools, is_given: bool) -> None:
    async with made(OpenAIChatAgent, "http://127.0.0.1:9/v1", is_given=is_given) as agent:
        with pytest.raises(ProviderError, match=r"cannot reach http://127.0.0.1:9/v1") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_a_client_over_connections_like_ours_fails_in_the_same_words(
    endpoint: Callable[..., Any], stub: ModuleType, toolbox: Tools
) -> None:
    for url, said in (
        ("http://127.0.0.1:9/v1", r"^cannot reach http://127\.0\.0\.1:9: \[Errno 111\]"),
        (endpoint(stub.Reply(delay=30)).url, r"^http://127\.0\.0\.1:\d+ did not answer in time; setting 'timeout'"),
    ):
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, http_client=http_client(timeout=0.3)) as client:
            agent = OpenAIChatAgent.create(openai_client=client, model="m", max_retries=0, overload_patience=0)
            with pytest.raises(ProviderError, match=said) as raised:
                await agent.run(PROMPT, toolbox())
        assert raised.value.retry
