from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hud_core import trace
from hud_core.agents import Conversation, MalformedCall, ModelTurn, ToolLoopAgent, ToolTurn, read_call
from hud_core.environment.session import Toolbox, ToolFilter
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.errors import BackendError, ConfigError, ProviderError
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import Usage
from hud_core.model.tools import Tool, ToolCall, ToolResult

PROMPT = Prompt(messages=(Message(content=(TextContent(text="how many r in strawberry?"),)),))


class FakeVendor(ToolLoopAgent):
    """Says what it is told to say, turn by turn, and keeps what it was asked."""

    def __init__(self, *turns: ModelTurn | Exception | Callable[[Conversation], ModelTurn], **options: Any) -> None:
        super().__init__(**options)
        self.turns = list(turns)
        self.asked: list[Conversation] = []

    async def respond(self, conversation: Conversation) -> ModelTurn:
        await anyio.lowlevel.checkpoint()
        self.asked.append(conversation)
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn if isinstance(turn, ModelTurn) else turn(conversation)


def count(text: str, letter: str) -> int:
    """Count a letter."""
    return text.count(letter)


def broken() -> str:
    """Fail."""
    raise RuntimeError("boom")


def toolbox(*functions: Callable[..., Any], shown: ToolFilter | None = None) -> Toolbox:
    made = [ToolFunction(function) for function in functions or (count, broken)]
    return Toolbox(LocalTools({function.name: function for function in made}), shown)


def calls(*items: ToolCall | MalformedCall, **turn: Any) -> ModelTurn:
    return ModelTurn(calls=items, **turn)


def tool_turns(conversation: Conversation) -> list[ToolTurn]:
    return [turn for turn in conversation.turns if isinstance(turn, ToolTurn)]


def results(conversation: Conversation) -> list[ToolResult]:
    return [result for turn in tool_turns(conversation) for _, result in turn.results]


async def test_a_tool_is_called_and_the_answer_comes_back_verbatim() -> None:
    agent = FakeVendor(
        calls(ToolCall("count", {"text": "strawberry", "letter": "r"}, "a")), ModelTurn(text=" It's 3.\n")
    )
    answer = await agent.run(PROMPT, toolbox(), max_steps=5)
    assert answer.text == " It's 3.\n"
    assert answer.stop_reason is StopReason.ANSWERED
    [result] = results(agent.asked[-1])
    assert (result.text, result.call_id, result.is_error) == ("3", "a", False)


async def test_the_conversation_holds_the_prompt_without_loss_and_the_tools_that_are_shown() -> None:
    image = ImageContent(data=base64.b64encode(b"png").decode())
    messages = (
        Message(content=(TextContent(text="look"), image)),
        Message(role="assistant", content=(TextContent(text="yes?"),)),
        Message(content=(TextContent(text="well?"),)),
    )
    agent = FakeVendor(ModelTurn(text="ok"), system_prompt="be brief")
    prompt = Prompt(messages=messages, system="be exact", answer_schema={"type": "object"}, enable_citations=True)
    await agent.run(prompt, toolbox(shown=ToolFilter(disallowed=["broken"])), max_steps=1)
    [asked] = agent.asked
    assert asked.system == "be brief\n\nbe exact"
    assert [tool.name for tool in asked.tools] == ["count"]
    assert tuple(asked.turns[:3]) == messages
    assert asked.answer_schema == {"type": "object"}
    assert asked.enable_citations


async def test_a_turn_that_the_vendor_paused_goes_on_as_it_is() -> None:
    agent = FakeVendor(ModelTurn(text="searching", paused=True), ModelTurn(text="3"))
    answer = await agent.run(PROMPT, toolbox())
    assert (answer.text, answer.stop_reason) == ("3", StopReason.ANSWERED)
    assert agent.asked[0].turns[1:] == [ModelTurn(text="searching", paused=True), ModelTurn(text="3")]


@pytest.mark.parametrize(
    ("own", "task", "whole"), [(None, None, ""), ("a", None, "a"), (None, "b", "b"), ("a", "b", "a\n\nb")]
)
async def test_system_prompts_are_joined_by_a_blank_line(own: str | None, task: str | None, whole: str) -> None:
    agent = FakeVendor(ModelTurn(), system_prompt=own)
    await agent.run(Prompt(messages=PROMPT.messages, system=task), toolbox(), max_steps=1)
    assert agent.asked[0].system == whole


async def test_calls_of_one_turn_run_at_once_and_their_results_keep_the_order_of_the_calls() -> None:
    gate = anyio.Event()

    async def first() -> str:
        await gate.wait()  # ends only when the second runs beside it
        return "1"

    async def second() -> str:
        gate.set()
        return "2"

    agent = FakeVendor(calls(ToolCall("first", {}, "a"), ToolCall("second", {}, "b")), ModelTurn(text="ok"))
    with anyio.fail_after(60):
        await agent.run(PROMPT, toolbox(first, second), max_steps=2)
    assert [(result.call_id, result.text) for result in results(agent.asked[-1])] == [("a", "1"), ("b", "2")]


async def test_what_a_tool_does_wrong_is_a_result_that_the_model_reads() -> None:
    wrong = (ToolCall("broken", {}, "a"), ToolCall("nowhere", {}, "b"), ToolCall("count", {"text": 3}, "c"))
    agent = FakeVendor(calls(*wrong), ModelTurn(text="ok"))
    answer = await agent.run(PROMPT, toolbox(), max_steps=2)
    assert answer.text == "ok"
    told = results(agent.asked[-1])
    assert all(result.is_error for result in told)
    assert "boom" in told[0].text
    assert "unknown tool 'nowhere'" in told[1].text
    assert "letter" in told[2].text


async def test_malformed_arguments_are_told_to_the_model_and_the_tool_is_not_called() -> None:
    called = []

    def note(text: str) -> str:
        called.append(text)
        return text

    good, bad = ToolCall("note", {"text": "x"}, "a"), read_call("note", '{"text": ', "b")
    agent = FakeVendor(calls(good, bad), ModelTurn(text="ok"))
    await agent.run(PROMPT, toolbox(note), max_steps=2)
    assert called == ["x"]
    fine, told = results(agent.asked[-1])
    assert not fine.is_error
    assert told.is_error
    assert told.call_id == "b"
    assert '{"text": ' in told.text


async def test_max_steps_counts_model_turns_and_keeps_the_last_text() -> None:
    step = calls(ToolCall("count", {"text": "a", "letter": "a"}), text="I think 3")
    silent = calls(ToolCall("count", {"text": "a", "letter": "a"}))
    agent = FakeVendor(step, silent, ModelTurn(text="never asked"))
    answer = await agent.run(PROMPT, toolbox(), max_steps=2)
    assert (answer.text, answer.stop_reason) == ("I think 3", StopReason.MAX_STEPS)
    assert len(agent.asked) == 2
    assert len(tool_turns(agent.asked[-1])) == 2  # the last turn's calls ran: the environment is graded as they left it


async def test_a_refusal_ends_the_rollout_and_its_calls_are_not_made() -> None:
    agent = FakeVendor(calls(ToolCall("broken"), text="I won't", stop=StopReason.REFUSED))
    answer = await agent.run(PROMPT, toolbox(), max_steps=5)
    assert (answer.text, answer.stop_reason) == ("I won't", StopReason.REFUSED)
    assert not tool_turns(agent.asked[-1])


async def test_a_truncated_answer_says_so_and_truncated_calls_are_fed_back() -> None:
    cut = calls(read_call("count", '{"text": "stra', "a"), stop=StopReason.TRUNCATED)
    agent = FakeVendor(cut, ModelTurn(text="It is", stop=StopReason.TRUNCATED))
    answer = await agent.run(PROMPT, toolbox(), max_steps=5)
    assert (answer.text, answer.stop_reason) == ("It is", StopReason.TRUNCATED)
    assert results(agent.asked[-1])[0].is_error


async def test_an_empty_answer_stays_empty() -> None:
    answer = await FakeVendor(ModelTurn()).run(PROMPT, toolbox(), max_steps=5)
    assert (answer.text, answer.structured, answer.stop_reason) == ("", None, StopReason.EMPTY)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"n": 3}', {"n": 3}),
        ('```json\n{"n": 3}\n```', {"n": 3}),
        ("3", 3),
        ("three", None),
        ('{"n": NaN}', None),
        ("", None),
    ],
)
async def test_a_typed_answer_is_data_where_its_text_is_json(text: str, data: Any) -> None:
    prompt = Prompt(messages=PROMPT.messages, answer_schema={"type": "object"})
    answer = await FakeVendor(ModelTurn(text=text)).run(prompt, toolbox(), max_steps=1)
    assert (answer.text, answer.structured) == (text, data)


async def test_text_stays_text_where_no_typed_answer_is_asked_for() -> None:
    answer = await FakeVendor(ModelTurn(text='{"n": 3}')).run(PROMPT, toolbox(), max_steps=1)
    assert answer.structured is None


class LosingTools:
    """Tools of an environment that is lost at the first call."""

    async def list_tools(self) -> Sequence[Tool]:
        return [Tool(name="a"), Tool(name="b")]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        if call.name == "b":
            await anyio.sleep_forever()
        raise BackendError("the container is gone")


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
async def test_a_lost_environment_ends_the_run_as_itself_and_stops_the_other_calls(names: list[str]) -> None:
    agent = FakeVendor(calls(*map(ToolCall, names)))
    with anyio.fail_after(60), pytest.raises(BackendError, match="the container is gone"):
        await agent.run(PROMPT, Toolbox(LosingTools()), max_steps=5)


async def test_a_failing_endpoint_ends_the_run() -> None:
    with pytest.raises(ProviderError, match="overloaded"):
        await FakeVendor(ProviderError("overloaded"), max_retries=0).run(PROMPT, toolbox(), max_steps=5)


async def test_cancelling_reaches_every_tool_that_runs() -> None:
    running, closed = set(), set()

    async def wait(name: str) -> str:
        running.add(name)
        try:
            await anyio.sleep_forever()
        finally:
            closed.add(name)

    agent = FakeVendor(calls(ToolCall("wait", {"name": "x"}), ToolCall("wait", {"name": "y"})))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: agent.run(PROMPT, toolbox(wait), max_steps=5))
            while len(running) < 2:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert closed == {"x", "y"}
    assert len(agent.asked) == 1


async def test_one_agent_runs_many_rollouts_at_once_and_keeps_them_apart() -> None:
    def turn(conversation: Conversation) -> ModelTurn:
        if not tool_turns(conversation):
            return calls(ToolCall("count", {"text": conversation.turns[0].text, "letter": "x"}))
        return ModelTurn(text=results(conversation)[0].text)

    agent = FakeVendor(*[turn] * 20)
    answers: dict[int, str] = {}

    async def attempt(n: int) -> None:
        prompt = Prompt(messages=(Message(content=(TextContent(text="x" * n),)),))
        answers[n] = (await agent.run(prompt, toolbox(), max_steps=3)).text

    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(attempt, n)
    assert answers == {n: str(n) for n in range(10)}


async def test_every_model_call_is_on_the_record() -> None:
    recorder = trace.Recorder("r1")
    token = trace.current_recorder.set(recorder)
    bad = read_call("count", "[1]", "b")
    turn = calls(ToolCall("broken", {}, "a"), bad, usage=Usage(input_tokens=5), finish="tool_calls", request_id="q")
    try:
        await FakeVendor(turn, ModelTurn(text="ok", model="m-2", retries=2), model="m").run(PROMPT, toolbox())
    finally:
        trace.current_recorder.reset(token)
    first, second = (event for event in recorder.pending if event.type == "model_called")
    assert (first.model, first.stop_reason, first.request_id, first.usage.calls) == ("m", "tool_calls", "q", 1)
    assert [call.name for call in first.calls] == ["broken", "count"]
    assert "[1]" in (first.calls[1].annotation or "")
    assert (second.model, second.text, second.retries) == ("m-2", "ok", 2)
    assert recorder.usage == Usage(calls=2, input_tokens=5)
    assert [event.source for event in recorder.pending if event.type == "log_line"] == ["agent"]


class NamedTools:
    """Tools whose names no vendor takes; answers with the name that was called."""

    names = ("shop:add item", "shop.add item", "x" * 80, "plain")

    async def list_tools(self) -> Sequence[Tool]:
        return [Tool(name=name) for name in self.names]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        return ToolResult(content=(TextContent(text=call.name),))


async def test_models_see_portable_tool_names_and_tools_are_called_by_their_own() -> None:
    def call_all(conversation: Conversation) -> ModelTurn:
        return calls(*(ToolCall(tool.name) for tool in conversation.tools))

    agent = FakeVendor(call_all, ModelTurn())
    await agent.run(PROMPT, Toolbox(NamedTools()))
    shown = [tool.name for tool in agent.asked[0].tools]
    assert shown == ["shop_add_item", "shop_add_item_2", "x" * 64, "plain"]
    assert tuple(result.text for result in results(agent.asked[0])) == NamedTools.names


async def test_an_agent_may_hide_tools_by_its_own_settings() -> None:
    agent = FakeVendor(calls(ToolCall("broken")), ModelTurn(), allowed_tools="c*")
    await agent.run(PROMPT, toolbox())
    assert [tool.name for tool in agent.asked[0].tools] == ["count"]
    assert "unknown tool" in results(agent.asked[0])[0].text


async def test_an_open_rollout_is_driven() -> None:
    class Rollout:
        async def drive(self, agent: ToolLoopAgent, *, max_steps: int) -> str:
            return f"{agent.name} {max_steps}"

    assert await FakeVendor(model="m").run(Rollout(), max_steps=7) == "m 7"
    assert await FakeVendor(model="m").run(Rollout()) == "m 10"


async def test_a_prompt_without_a_toolbox_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="needs a toolbox"):
        await FakeVendor().run(PROMPT)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="an agent runs a task, an open rollout, or a prompt with a toolbox; got str"):
        await FakeVendor().run("How many?")
