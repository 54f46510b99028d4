"""Each setting that every agent on a model API has, with its effect."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import hud
from hud import Environment
from hud_core.agents import Conversation, ModelTurn, ToolLoopAgent
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction
from hud_core.errors import AgentError, ContextOverflowError
from hud_core.job.directory import read_events
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.tools import ToolCall

PROMPT = Prompt(messages=(Message(content=(TextContent(text="what is on the screen?"),)),))
PIXEL = ImageContent(data="cGl4ZWw=")


class Model(ToolLoopAgent):
    """Says what it is told to say, turn by turn, and keeps what it was asked."""

    agent_type = "mine"

    def __init__(self, *turns: ModelTurn | Exception, **options: Any) -> None:
        super().__init__(model="model-1", **options)
        self.turns = list(turns)
        self.asked: list[Conversation] = []
        self.seen: list[list[str]] = []

    async def respond(self, conversation: Conversation) -> ModelTurn:
        self.asked.append(conversation)
        self.seen.append([turn.text for turn in conversation.turns if isinstance(turn, Message)])
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn


def computer(action: str) -> list[ImageContent]:
    """Operate the screen."""
    assert action == "screenshot"
    return [PIXEL]


def respond(response: str) -> str:
    """Answer."""
    return "noted"


def finish() -> str:
    """End the task."""
    return "the end"


def toolbox(*functions: Any) -> Toolbox:
    made = [ToolFunction(function) for function in functions]
    return Toolbox(LocalTools({function.name: function for function in made}))


async def test_initial_screenshot_puts_the_screen_behind_the_prompt() -> None:
    agent = Model(ModelTurn(text="a pixel"), initial_screenshot=True)
    await agent.run(PROMPT, toolbox(computer), max_steps=1)
    [first] = agent.asked[0].turns[:1]
    assert isinstance(first, Message)
    assert first.content == (*PROMPT.messages[0].content, PIXEL)


async def test_a_task_may_ask_for_the_first_screenshot() -> None:
    agent = Model(ModelTurn(text="a pixel"))
    await agent.run(Prompt(messages=PROMPT.messages, initial_screenshot=True), toolbox(computer), max_steps=1)
    assert PIXEL in agent.asked[0].turns[0].content  # type: ignore[union-attr]


async def test_a_browser_that_says_that_it_takes_screenshots_is_enough() -> None:
    def playwright(action: str, url: str = "") -> list[ImageContent]:
        """Operate a browser.

        Args:
            action: What to do: navigate, screenshot, click.
            url: Where to.
        """
        assert (action, url) == ("screenshot", "")
        return [PIXEL]

    agent = Model(ModelTurn(text="a pixel"), initial_screenshot=True)
    await agent.run(PROMPT, toolbox(finish, playwright), max_steps=1)
    assert agent.asked[0].turns[0].content[-1] == PIXEL


async def test_a_first_screenshot_without_a_computer_is_an_error_that_names_the_tools() -> None:
    agent = Model(ModelTurn(text="?"), initial_screenshot=True)
    with pytest.raises(AgentError, match="needs a computer tool, and there is none; tools: finish"):
        await agent.run(PROMPT, toolbox(finish), max_steps=1)


@pytest.mark.parametrize(
    ("tool", "call", "text"),
    [
        (respond, ToolCall("respond", {"response": "blue"}, "1"), "blue"),
        (finish, ToolCall("finish", {}, "1"), "the end"),
    ],
)
async def test_a_call_of_the_response_tool_is_the_answer(tool: Any, call: ToolCall, text: str) -> None:
    agent = Model(ModelTurn(text="here you are", calls=(call,)), response_tool_name=call.name)
    answer = await agent.run(PROMPT, toolbox(tool), max_steps=5)
    assert (answer.text, answer.stop_reason) == (text, StopReason.ANSWERED)


async def test_a_response_call_that_fails_is_told_and_the_loop_goes_on() -> None:
    wrong = ModelTurn(calls=(ToolCall("respond", {"answer": "blue"}, "1"),))
    agent = Model(wrong, ModelTurn(text="blue"), response_tool_name="respond")
    assert (await agent.run(PROMPT, toolbox(respond), max_steps=5)).text == "blue"


async def test_auto_respond_tells_a_model_that_pauses_to_continue() -> None:
    agent = Model(
        ModelTurn(text="shall I?"), ModelTurn(text="CONTINUE"), ModelTurn(text="blue"), ModelTurn(text="STOP."),
        auto_respond=True,
    )  # fmt: skip
    answer = await agent.run(PROMPT, toolbox(finish), max_steps=5)
    assert answer.text == "blue"
    assert agent.seen[2] == ["what is on the screen?", "CONTINUE"]
    assert [len(asked.tools) for asked in agent.asked] == [1, 0, 1, 0]  # whoever judges has no tools
    assert agent.seen[1] == ["shall I?"]


async def test_auto_respond_ends_where_the_verdict_is_neither() -> None:
    agent = Model(ModelTurn(text="blue"), ModelTurn(text="I would say so"), auto_respond=True)
    assert (await agent.run(PROMPT, toolbox(), max_steps=5)).text == "blue"


async def test_without_auto_respond_a_turn_without_calls_is_the_answer() -> None:
    agent = Model(ModelTurn(text="shall I?"))
    assert (await agent.run(PROMPT, toolbox(), max_steps=5)).text == "shall I?"


async def test_a_conversation_that_is_too_long_ends_with_what_was_said() -> None:
    call = ModelTurn(text="I see blue", calls=(ToolCall("finish", {}, "1"),))
    agent = Model(call, ContextOverflowError("prompt is too long: 300000 tokens"))
    answer = await agent.run(PROMPT, toolbox(finish), max_steps=5)
    assert (answer.text, answer.stop_reason) == ("I see blue", StopReason.CONTEXT_OVERFLOW)


async def test_a_filtered_turn_is_the_last_one_and_its_calls_are_not_made() -> None:
    filtered = ModelTurn(calls=(ToolCall("finish", {}, "1"),), stop=StopReason.CONTENT_FILTER)
    answer = await Model(filtered).run(PROMPT, toolbox(finish), max_steps=5)
    assert answer.stop_reason is StopReason.CONTENT_FILTER


async def test_native_tools_are_called_by_their_vendors_name_and_reach_the_environments_tool() -> None:
    function = ToolFunction(finish, meta={"native_tools": {"mine": {"api_type": "end_1", "api_name": "end"}}})
    agent = Model(ModelTurn(calls=(ToolCall("end", {}, "1"),)), ModelTurn(text="done"))
    await agent.run(PROMPT, Toolbox(LocalTools({"finish": function})), max_steps=5)
    [_, result] = agent.asked[1].turns[2].results[0]  # type: ignore[union-attr]
    assert (result.text, result.call_id) == ("the end", "1")
    assert [form.api_type for form in agent.asked[0].native] == ["end_1"]
    assert agent.asked[0].tools == ()


async def test_what_is_done_on_one_screen_in_one_turn_is_done_in_its_order() -> None:
    done: list[str] = []
    beside = anyio.Event()

    async def computer(action: str) -> str:
        await (beside.wait() if action == "first" else anyio.lowlevel.checkpoint())
        done.append(action)
        return action

    async def search() -> str:
        beside.set()  # so it runs beside the first action
        return "found"

    acts = [ToolCall("computer", {"action": action}, action) for action in ("first", "second", "third")]
    agent = Model(ModelTurn(calls=(*acts, ToolCall("search", {}, "s"))), ModelTurn(text="done"))
    await agent.run(PROMPT, toolbox(computer, search), max_steps=2)
    assert done == ["first", "second", "third"]
    told = agent.asked[1].turns[2].results  # type: ignore[union-attr]
    assert [result.call_id for _, result in told] == ["first", "second", "third", "s"]


# --- setup output, through whole rollouts -----------------------------------------------------------------------------


def shop() -> Environment:
    env = Environment("shop")

    @env.tool
    def open_page(url: str) -> str:
        """Open a page."""
        return f"opened {url}"

    @env.scenario("buy")
    async def buy() -> AsyncGenerator[Any, Any]:
        await env.call_tool("open_page", url="shop.test")
        answer = yield "Buy a hat."
        await env.call_tool("open_page", url="cart.test")
        yield 1.0 if answer else 0.0

    return env


@pytest.mark.parametrize("options", [{"append_setup_output": True}, {"append_setup_tool": True}])
async def test_append_setup_output_shows_what_setup_gave(options: dict[str, bool], tmp_path: Path) -> None:
    agent = Model(ModelTurn(text="bought"), **options)
    job = await hud.run([shop()("buy")], agent, directory=tmp_path / "run")
    assert job.summary().mean == 1.0
    assert agent.seen == [["Buy a hat.\nopened shop.test"]]
    [begun] = [event for event in read_events(tmp_path / "run") if event["type"] == "conversation_started"]
    assert [block["text"] for block in begun["added"]] == ["opened shop.test"]
    assert [tool["name"] for tool in begun["tools"]] == ["open_page"]


async def test_a_task_may_ask_for_the_setup_output() -> None:
    agent, task = Model(ModelTurn(text="bought")), shop()("buy")
    task.agent_config = {"append_setup_output": True}  # type: ignore[assignment]  # what users write
    await task.run(agent)
    assert agent.seen == [["Buy a hat.\nopened shop.test"]]


async def test_an_agent_that_does_not_ask_never_holds_the_setup_output() -> None:
    seen: list[Prompt] = []

    class Curious(Model):
        async def run(self, prompt: Any, toolbox: Any = None, *, max_steps: int = 10) -> Any:
            seen.append(prompt)
            return "bought"

    await shop()("buy").run(Curious())
    assert seen[0].setup_output == ()
