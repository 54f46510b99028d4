"""What the agent makes of an endpoint that fails."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import anthropic
import anyio
import pytest

from hud_anthropic import ClaudeAgent
from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ContextOverflowError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))
KEY = "sk-ant-planted-123"


def agent_of(endpoint: Any, **options: Any) -> ClaudeAgent:
    return ClaudeAgent.create(**{"base_url": endpoint.url, "api_key": KEY, **options})


def impatient_of(endpoint: Any, **options: Any) -> ClaudeAgent:
    """An agent that does not wait: a failure is raised at once."""
    return agent_of(endpoint, **{"max_retries": 0, "overload_patience": 0, **options})


async def test_failures_that_pass_are_tried_again(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(
        stub.fail(429, "slow down", "rate_limit_error", retry_after="0.01"),
        stub.fail(529, "Overloaded", "overloaded_error", retry_after_ms="5"),
        stub.cut(stub.say("half"), -1),  # over a kept connection, so that the request is sent once more by itself
        stub.cut(stub.say("half"), -1),
        stub.say("ok"),
    )
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server) as agent:
        assert (await agent.run(PROMPT, toolbox())).text == "ok"
    trace.current_recorder.reset(token)
    assert len(server.requests) == 5
    assert recorder.usage.calls == 1
    [call] = [event for event in recorder.pending if event.type == "model_called"]
    assert call.retries == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_failures_that_stay_are_not_tried_again(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, status: int
) -> None:
    server = endpoint(stub.fail(status, "no such thing", "invalid_request_error"))
    async with agent_of(server) as agent:
        with pytest.raises(ProviderError, match=f"answered {status}: no such thing") as raised:
            await agent.run(PROMPT, toolbox())
    assert not raised.value.retry
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "headers", "seconds", "overloaded"),
    [
        (429, "rate_limit_error", {"retry_after": "7"}, 7, True),
        (429, "rate_limit_error", {"retry_after_ms": "1500"}, 1.5, True),
        (429, "rate_limit_error", {"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0, True),
        (429, "rate_limit_error", {"retry_after": "soon"}, None, True),
        (429, "rate_limit_error", {}, None, True),
        (503, "api_error", {}, None, True),
        (529, "overloaded_error", {}, None, True),
        (500, "overloaded_error", {}, None, True),
        (500, "api_error", {}, None, False),
        (408, "timeout_error", {}, None, False),
    ],
)
async def test_what_another_try_may_change_says_so_and_how_long_to_wait(
    endpoint: Endpoint,
    stub: ModuleType,
    toolbox: Tools,
    status: int,
    kind: str,
    headers: dict[str, str],
    seconds: float | None,
    overloaded: bool,
) -> None:
    async with impatient_of(endpoint(stub.fail(status, "later", kind, **headers))) as agent:
        with pytest.raises(ProviderError, match=f"answered {status}: later") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry
    assert raised.value.overloaded is overloaded
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize(
    ("kind", "retry", "overloaded"),
    [
        ("overloaded_error", True, True),
        ("rate_limit_error", True, True),
        ("api_error", True, False),
        ("something_new", True, False),
        ("invalid_request_error", False, False),
    ],
)
async def test_an_error_in_the_middle_of_a_stream(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, kind: str, retry: bool, overloaded: bool
) -> None:
    async with impatient_of(endpoint(stub.broken(stub.say("three or so"), 5, kind, "it happens"))) as agent:
        with pytest.raises(ProviderError, match=f"broke off its answer: {kind}: it happens") as raised:
            await agent.run(PROMPT, toolbox())
    assert (raised.value.retry, raised.value.overloaded) == (retry, overloaded)


@pytest.mark.parametrize("events", [1, 7])
async def test_nothing_of_a_cut_stream_counts(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, events: int
) -> None:
    half = stub.cut(stub.call(("look", {"at": "it"})), events)
    looked = []

    def look(at: str) -> None:
        looked.append(at)

    server = endpoint(half, stub.say("ok"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server) as agent:
        assert (await agent.run(PROMPT, toolbox(look))).text == "ok"
    trace.current_recorder.reset(token)
    assert looked == []
    assert (recorder.usage.calls, recorder.usage.input_tokens) == (1, 10)
    assert server.bodies[0] == server.bodies[1]


async def test_an_answer_that_breaks_off_says_so(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    async with impatient_of(endpoint(stub.cut(stub.say("three or so"), 3))) as agent:
        with pytest.raises(ProviderError, match=r"cannot be read: the connection was closed in the middle") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_an_answer_that_cannot_be_decompressed_is_a_broken_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    odd = stub.Reply(stub.say("ok").events, headers={"content-encoding": "gzip"})
    async with impatient_of(endpoint(odd)) as agent:
        with pytest.raises(ProviderError, match=r"cannot be read: its compression is broken") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_a_stream_that_ends_well_but_early_is_a_cut_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    whole = stub.say("ok")
    for early in ([], whole.events[:-1], whole.events[-1:]):
        async with impatient_of(endpoint(stub.Reply(early))) as agent:
            with pytest.raises(ProviderError, match="broke off its answer") as raised:
                await agent.run(PROMPT, toolbox())
        assert raised.value.retry


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "?"}}, "makes no sense"),
        ({"type": "content_block_start", "index": 0}, "makes no sense"),
        ({"type": "message_delta", "raw": '{"type": "message_delta", '}, "not JSON"),
        ({"type": "message_delta", "raw": "[1]"}, "makes no sense"),
    ],
)
async def test_events_that_are_none(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, event: Any, said: str
) -> None:
    reply = stub.say("ok")
    reply.events.insert(2, event)
    async with impatient_of(endpoint(reply)) as agent:
        with pytest.raises(ProviderError, match=said):
            await agent.run(PROMPT, toolbox())


async def test_events_that_are_new_are_passed_over(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    reply = stub.say("ok")
    reply.events.insert(2, {"type": "brand_new", "index": 0})
    async with agent_of(endpoint(reply)) as agent:
        assert (await agent.run(PROMPT, toolbox())).text == "ok"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "not JSON"),
        (b"", "not JSON"),
        ({}, "broke off its answer"),
        (
            {"type": "error", "error": {"type": "api_error", "message": "upstream is down"}},
            "api_error: upstream is down",
        ),
    ],
)
async def test_answers_that_are_no_stream(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, body: Any, said: str
) -> None:
    async with impatient_of(endpoint(stub.Reply(body=body))) as agent:
        with pytest.raises(ProviderError, match=said) as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_a_message_that_is_not_streamed_is_taken(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    use = stub.use("look", {"at": "it"})
    message = {"type": "message", "role": "assistant", "stop_reason": "tool_use", "usage": {"input_tokens": 3}}
    server = endpoint(stub.Reply(body={**message, "content": [stub.text("So."), use]}), stub.say("ok"))
    looked = []

    def look(at: str) -> None:
        looked.append(at)

    async with agent_of(server) as agent:
        assert (await agent.run(PROMPT, toolbox(look))).text == "ok"
    assert looked == ["it"]


@pytest.mark.parametrize("when", ["delay", "pause"])  # before it answers, and in the middle
async def test_an_endpoint_that_falls_silent(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, when: str) -> None:
    slow = stub.say("late")
    setattr(slow, when, 30)
    async with impatient_of(endpoint(slow), timeout=0.1) as agent:
        with pytest.raises(ProviderError, match="did not answer in time; setting 'timeout'") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_an_endpoint_that_writes_slowly_may_take_longer(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    slow = stub.say("late")
    slow.pause = 0.3
    async with impatient_of(endpoint(slow), timeout=1.5) as agent:
        assert (await agent.run(PROMPT, toolbox())).text == "late"


async def test_an_endpoint_that_is_not_there(toolbox: Tools) -> None:
    options = {"base_url": "http://127.0.0.1:9", "api_key": KEY, "max_retries": 0}
    async with ClaudeAgent.create(**options) as agent:
        with pytest.raises(ProviderError, match=r"cannot reach http://127.0.0.1:9: .+") as raised:
            await agent.run(PROMPT, toolbox())
    assert raised.value.retry


async def test_a_proxy_that_is_not_spoken(toolbox: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:planted@127.0.0.1:9")
    async with ClaudeAgent.create(base_url="http://nobody.invalid", api_key=KEY) as agent:
        with pytest.raises(ConfigError, match=r"'socks5://127.0.0.1:9'.*'model_client'") as raised:
            await agent.run(PROMPT, toolbox())
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize("kind", [anthropic.DefaultAsyncHttpxClient, anthropic.DefaultAioHttpClient])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the second knows no other
async def test_what_a_client_of_one_s_own_raises_is_understood(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, kind: type[Any]
) -> None:
    for reply, options, said in (
        (stub.cut(stub.say("three or so"), 3), {}, "broke off its answer: .*Error"),
        (stub.Reply(delay=30), {"timeout": 0.1}, "did not answer in time"),
        (stub.say("ok"), {"base_url": "http://127.0.0.1:9"}, "cannot reach http://127.0.0.1:9: .+"),
    ):
        how = {"base_url": endpoint(reply).url, "api_key": KEY, "http_client": kind(), **options}
        async with anthropic.AsyncAnthropic(**how) as client:
            agent = ClaudeAgent.create(model_client=client, max_retries=0, overload_patience=0)
            with pytest.raises(ProviderError, match=said) as raised:
                await agent.run(PROMPT, toolbox())
        assert raised.value.retry


# --- conversations that are too long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "prompt is too long: 210883 tokens > 199999 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 16384 > 200000"),
        (400, "Input is too long for requested model."),
        (413, "Request exceeds the maximum size"),
    ],
)
async def test_a_conversation_that_is_too_long_ends_as_it_stands(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, status: int, said: str
) -> None:
    def look() -> str:
        return "much"

    server = endpoint(stub.call(("look", {}), said="so far"), stub.fail(status, said, "invalid_request_error"))
    async with agent_of(server) as agent:
        answer = await agent.run(PROMPT, toolbox(look))
        with pytest.raises(ContextOverflowError, match="answered"):
            await agent.respond(conversation())
    assert (answer.text, answer.stop_reason) == ("so far", StopReason.CONTEXT_OVERFLOW)
    assert len(server.requests) == 3


def conversation() -> Any:
    from hud_core.agents import Conversation

    return Conversation(turns=list(PROMPT.messages))


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_no_error_repeats_a_secret(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    echo = f"invalid x-api-key {KEY}, x-tenant planted-header"
    for reply in (stub.fail(401, echo), stub.broken(stub.say("ok"), 3, "api_error", echo)):
        headers = {"x-tenant": "planted-header", "x-short": "a"}  # what is so short would be found in every word
        async with impatient_of(endpoint(reply), extra_headers=headers) as agent:
            with pytest.raises(ProviderError, match="invalid x-api-key") as raised:
                await agent.run(PROMPT, toolbox())
        assert "planted" not in str(raised.value)
        assert "planted" not in f"{agent!r} {agent.config!r} {agent.config.described()} {agent.fingerprint}"


async def test_a_key_that_cannot_be_sent_is_not_shown(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    async with impatient_of(server, api_key=f"{KEY}\n") as agent:
        with pytest.raises(ConfigError, match=r"header '.*' must be one line of text") as raised:
            await agent.run(PROMPT, toolbox())
    assert "planted" not in str(raised.value)
    assert not server.requests


async def test_a_value_that_is_no_secret_is_not_taken_for_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.fail(404, "no model of that name"))
    async with impatient_of(server, api_key="x", extra_headers={"x-tenant": "model"}) as agent:
        with pytest.raises(ProviderError, match="answered 404: no model of that name"):
            await agent.run(PROMPT, toolbox())


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancelling_a_request_ends_it_and_the_agent_works_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    slow = stub.say("late")
    slow.delay = 30
    server = endpoint(slow, stub.say("ok"))
    async with agent_of(server) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, PROMPT, toolbox())
            while not server.requests:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            assert (await agent.run(PROMPT, toolbox())).text == "ok"
