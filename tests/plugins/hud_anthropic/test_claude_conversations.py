from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from hud_anthropic import ClaudeAgent
from hud_core import trace
from hud_core.agents import Conversation
from hud_core.agents.asking import decode_turn, encode_turn
from hud_core.environment.session import Toolbox
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Usage

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]


def ask(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text=text),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


def agent_of(endpoint: Any, **options: Any) -> ClaudeAgent:
    return ClaudeAgent.create(**{"base_url": endpoint.url, "api_key": "sk-1", "prompt_caching": False, **options})


# --- the loop, end to end ---------------------------------------------------------------------------------------------


async def test_a_whole_conversation(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(
        stub.call(("count_letter", {"text": "strawberry", "letter": "r"}), said="Let me count."), stub.say("3")
    )
    async with agent_of(server, system_prompt="be brief") as agent:
        answer = await agent.run(ask("how many?", system="be exact"), toolbox(count_letter))
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    first, second = server.bodies
    [tool] = first.pop("tools")
    assert (tool["name"], tool["description"]) == ("count_letter", "Count a letter in a text.")
    assert set(tool["input_schema"]["properties"]) == {"text", "letter"}
    assert first == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 16384,
        "stream": True,
        "system": "be brief\n\nbe exact",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "how many?"}]}],
    }
    said, told = second["messages"][1:]
    assert said == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me count."},
            stub.use("count_letter", {"text": "strawberry", "letter": "r"}),
        ],
    }
    assert told == {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": [{"type": "text", "text": "3"}]}],
    }
    assert {request.path for request in server.requests} == {"/v1/messages"}
    assert all("anthropic-beta" not in request.headers for request in server.requests)


async def test_one_connection_serves_all_turns_and_rollouts(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    call = stub.call(("count_letter", {"text": "a", "letter": "a"}))
    server = endpoint(call, call, stub.say("a"), call, stub.say("b"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
        await agent.run(ask("y"), toolbox(count_letter))
    assert [request.connection for request in server.requests] == [0] * 5


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_agent_may_be_closed_and_used_in_one_event_loop_after_the_other(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, backend: str
) -> None:
    agent = agent_of(endpoint(stub.say("ok")))

    async def twice() -> None:
        for _ in range(2):
            assert (await agent.run(ask("x"), toolbox())).text == "ok"
            await agent.aclose()
        await agent.run(ask("x"), toolbox())  # and this one is left open

    for _ in range(2):
        anyio.run(twice, backend=backend)


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

    server = endpoint(stub.call(("first", {}), ("second", {})), stub.say("ok"))
    with anyio.fail_after(60):
        async with agent_of(server) as agent:
            await agent.run(ask("x"), toolbox(first, second))
    told = server.bodies[1]["messages"][-1]["content"]
    assert [(block["tool_use_id"], block["content"][0]["text"]) for block in told] == [
        ("toolu_0", "1"),
        ("toolu_1", "2"),
    ]


# --- thinking ---------------------------------------------------------------------------------------------------------


async def test_thoughts_are_recorded_and_go_back_unchanged(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    thought = {"type": "thinking", "thinking": "let me count", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "b3BhcXVl"}
    use = stub.use("count_letter", {"text": "a", "letter": "a"})
    end = {"output_tokens_details": {"thinking_tokens": 7}}
    first = stub.message(thought, hidden, stub.text("\n\n"), use, stop="tool_use")
    first.events[-2]["usage"] |= end
    server = endpoint(first, stub.message({**thought, "thinking": "so one"}, stub.text("1")))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server, thinking=2048) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "1"
    trace.current_recorder.reset(token)
    assert server.bodies[0]["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert server.bodies[1]["messages"][1]["content"] == [thought, hidden, use]  # blank text would be refused
    calls = [event for event in recorder.pending if event.type == "model_called"]
    assert [event.reasoning for event in calls] == ["let me count", "so one"]
    assert recorder.usage.reasoning_tokens == 7


# --- what models do wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ['{"text": "straw', "[1, 2]", "'text'"])
async def test_malformed_arguments_are_told_and_the_conversation_stays_valid(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, raw: str
) -> None:
    server = endpoint(stub.call(("count_letter", raw)), stub.say("sorry"))
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).text == "sorry"
    said, told = server.bodies[1]["messages"][1:]
    assert said["content"] == [stub.use("count_letter", {})]
    [result] = told["content"]
    assert result["is_error"] is True
    assert result["content"][0]["text"].startswith("tool 'count_letter' was not called")
    assert raw in result["content"][0]["text"]


async def test_an_unknown_tool_is_told(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.call(("nowhere", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    [result] = server.bodies[1]["messages"][-1]["content"]
    assert result["is_error"] is True
    assert "unknown tool 'nowhere'; there are count_letter" in result["content"][0]["text"]


async def test_calls_without_ids_or_with_one_id_are_kept_apart(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    uses = [
        {**stub.use("count_letter", {"text": "a" * n, "letter": "a"}), "id": given}
        for n, given in enumerate((None, "x", "x"))
    ]
    server = endpoint(stub.message(*uses, stop="tool_use"), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox(count_letter))
    said, told = server.bodies[1]["messages"][1:]
    ids = [block["id"] for block in said["content"]]
    assert len(set(ids)) == 3
    assert [(block["tool_use_id"], block["content"][0]["text"]) for block in told["content"]] == [
        (ids[0], "0"),
        (ids[1], "1"),
        (ids[2], "2"),
    ]


async def test_a_call_that_was_cut_off_goes_back_and_whole_ones_are_made(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    arguments = {"text": "a", "letter": "a"}
    server = endpoint(
        stub.call(("count_letter", arguments), ("count_letter", '{"te'), stop="max_tokens"), stub.say("ok")
    )
    async with agent_of(server) as agent:
        assert (await agent.run(ask("x"), toolbox(count_letter))).stop_reason is StopReason.ANSWERED
    whole, cut = server.bodies[1]["messages"][-1]["content"]
    assert whole["content"][0]["text"] == "1"
    assert "is_error" not in whole
    assert cut["is_error"] is True


# --- how turns end ----------------------------------------------------------------------------------------------------


async def test_how_turns_end(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    refusal = {"type": "refusal", "category": "bio", "explanation": "I can't help with that."}
    cases = [
        (stub.say("ok"), "ok", StopReason.ANSWERED),
        (stub.say("ok", stop="stop_sequence"), "ok", StopReason.ANSWERED),
        (stub.say("ok", stop="something new"), "ok", StopReason.ANSWERED),
        (stub.message(stub.text("in "), stub.text("parts")), "in parts", StopReason.ANSWERED),
        (stub.message(), "", StopReason.EMPTY),
        (stub.say("half an ans", stop="max_tokens"), "half an ans", StopReason.TRUNCATED),
        (stub.say("", stop="refusal", stop_details=refusal), "I can't help with that.", StopReason.REFUSED),
        (stub.say("I will", stop="refusal"), "I will", StopReason.REFUSED),
        (stub.say("so much", stop="model_context_window_exceeded"), "so much", StopReason.CONTEXT_OVERFLOW),
    ]
    server = endpoint(*(reply for reply, *_ in cases))
    async with agent_of(server) as agent:
        for _, text, stop in cases:
            answer = await agent.run(ask("x"), toolbox())
            assert (answer.text, answer.stop_reason) == (text, stop)


async def test_a_paused_turn_goes_on(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "r"}}
    server = endpoint(stub.message(stub.text("I search."), search, stop="pause_turn"), stub.say("3"))
    async with agent_of(server) as agent:
        answer = await agent.run(ask("x"), toolbox())
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    paused = server.bodies[1]["messages"][-1]
    assert paused == {"role": "assistant", "content": [stub.text("I search."), search]}


async def test_a_turn_can_be_kept_and_read_again(endpoint: Endpoint, stub: ModuleType) -> None:
    cited = {"type": "char_location", "cited_text": "it", "document_index": 0}
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    said = [thought, stub.text("So.", cited), stub.use("a", {"n": 1}), stub.use("b", '{"n', "toolu_1")]
    for stop in ("tool_use", "pause_turn", "refusal", "max_tokens"):
        async with agent_of(endpoint(stub.message(*said, stop=stop))) as agent:
            turn = await agent.respond(Conversation(turns=[*ask("x").messages]))
        assert decode_turn(encode_turn(turn)) == turn


# --- the record -------------------------------------------------------------------------------------------------------


async def test_every_call_is_recorded_with_its_tokens(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 64,
        "cache_creation_input_tokens": 30,
        "output_tokens": 1,
        "service_tier": None,
    }
    server = endpoint(stub.say("ok", usage=usage))
    recorder = trace.Recorder("r1")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server) as agent:
        await agent.run(ask("x"), toolbox())
    trace.current_recorder.reset(token)
    [event] = [event for event in recorder.pending if event.type == "model_called"]
    assert (event.model, event.text, event.stop_reason, event.request_id) == ("stub-1", "ok", "end_turn", "req_1")
    counted = Usage(calls=1, input_tokens=194, output_tokens=2, cached_tokens=64, cache_write_tokens=30)
    assert replace(event.usage, cost=None) == counted
