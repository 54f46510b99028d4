from __future__ import annotations

import base64
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import AgentError
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.evaluation import StopReason
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_gemini import GeminiAgent, GeminiCUAAgent

pytestmark = pytest.mark.slow
Endpoint = Callable[..., Any]
Agents = Callable[..., Any]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="buy it"),)),))
COMPUTER = Tool(
    name="gemini_computer", input_schema={"type": "object", "properties": {"action": {"type": "string"}, "x": {}}}
)
NOTE = Tool(name="note", description="Note a text.")


def picture(number: int) -> str:
    return base64.b64encode(f"screen {number}".encode()).decode()


class Browser(Toolbox):
    """Tools, the first of which shows a screen after each action."""

    def __init__(self, *tools: Tool, page: str | None = "http://shop") -> None:
        object.__setattr__(self, "tools", tools)
        object.__setattr__(self, "page", page)
        object.__setattr__(self, "calls", [])

    async def list_tools(self) -> list[Tool]:
        return list(self.tools)

    async def call_tool(self, call: ToolCall | str, /, **_: Any) -> ToolResult:
        assert isinstance(call, ToolCall)
        self.calls.append(call)
        screen = sum(call.name != "note" for call in self.calls)
        if call.arguments.get("action") == "fail":
            return ToolResult.error("no such button")
        if call.name == "note":
            return ToolResult(content=[TextContent(text="noted")])
        page = [] if self.page is None else [TextContent(text=f"__URL__:{self.page}")]
        return ToolResult(content=[*page, ImageContent(data=picture(screen))])


def responses(body: Any) -> list[Any]:
    """The function responses that a request holds, in their order."""
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part["functionResponse"] for part in parts if "functionResponse" in part]


async def test_actions_are_calls_of_the_computer_tool(endpoint: Endpoint, stub: ModuleType, agent_of: Agents) -> None:
    click, note = ("click_at", {"x": 10, "y": 20}), ("note", {"text": "a"})
    server = endpoint(stub.call(click, note, ids=True), stub.call(("fail", {})), stub.say("bought"))
    browser = Browser(COMPUTER, NOTE)
    excluded = ["drag_and_drop"]
    async with agent_of(server, GeminiCUAAgent, excluded_predefined_functions=excluded) as agent:
        answer = await agent.run(PROMPT, browser)
    assert (answer.text, answer.stop_reason) == ("bought", StopReason.ANSWERED)
    assert sorted((call.name, *call.arguments.values()) for call in browser.calls) == [
        ("gemini_computer", "click_at", 10, 20),
        ("gemini_computer", "fail"),
        ("note", "a"),
    ]
    assert server.requests[0].path.endswith("/models/gemini-2.5-computer-use-preview-10-2025:generateContent")
    functions, computer = server.bodies[0]["tools"]
    assert [tool["name"] for tool in functions["functionDeclarations"]] == ["note"]
    assert computer == {
        "computerUse": {"environment": "ENVIRONMENT_BROWSER", "excludedPredefinedFunctions": ["drag_and_drop"]}
    }
    screen = {"inlineData": {"mimeType": "image/png", "data": picture(1)}}
    assert responses(server.bodies[2]) == [
        {"id": "fc-0", "name": "click_at", "response": {"url": "http://shop"}, "parts": [screen]},
        {"id": "fc-1", "name": "note", "response": {"output": "noted"}},
        {"name": "fail", "response": {"url": "about:blank", "error": "no such button"}},
    ]


async def test_an_action_that_the_model_was_not_offered_is_not_done(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents
) -> None:
    server = endpoint(stub.call(("drag_and_drop", {})), stub.say("ok"))
    browser = Browser(COMPUTER)
    async with agent_of(server, GeminiCUAAgent, excluded_predefined_functions="drag_and_drop") as agent:
        await agent.run(PROMPT, browser)
    assert [call.name for call in browser.calls] == ["drag_and_drop"]  # a tool that no environment has


async def test_an_action_to_confirm_is_confirmed_and_on_record(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents
) -> None:
    decision = {"decision": "require_confirmation", "explanation": "it accepts cookies"}
    asked = stub.call(("click_at", {"x": 1, "safety_decision": decision, "intent": "accept"}))
    allowed = stub.call(("click_at", {"x": 2, "safety_decision": {"decision": "regular"}}))
    server = endpoint(asked, allowed, stub.say("ok"))
    browser = Browser(COMPUTER, page=None)
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server, GeminiCUAAgent) as agent:
        await agent.run(PROMPT, browser)
    trace.current_recorder.reset(token)
    assert [(call.arguments, call.annotation) for call in browser.calls] == [
        ({"action": "click_at", "x": 1}, "accept"),
        ({"action": "click_at", "x": 2}, None),
    ]
    assert server.bodies[1]["contents"][1]["parts"] == asked.body["candidates"][0]["content"]["parts"]
    assert [one["response"] for one in responses(server.bodies[2])] == [
        {"url": "about:blank", "safety_acknowledgement": "true"},
        {"url": "about:blank"},
    ]
    [line] = [event.text for event in recorder.pending if event.type == "log_line"]
    assert line == "confirmed action 'click_at', which the API wants confirmed: it accepts cookies"


async def test_the_model_may_see_the_screen_first(endpoint: Endpoint, stub: ModuleType, agent_of: Agents) -> None:
    actions = {"action": {"enum": ["click_at", "open_web_browser"]}}
    browser = Browser(Tool(name="gemini_computer", input_schema={"type": "object", "properties": actions}))
    server = endpoint(stub.say("ok"))
    async with agent_of(server, GeminiCUAAgent, initial_screenshot=True) as agent:
        await agent.run(PROMPT, browser)
    assert [call.arguments for call in browser.calls] == [{"action": "open_web_browser"}]
    parts = server.bodies[0]["contents"][0]["parts"]
    assert parts[-1] == {"inlineData": {"mimeType": "image/png", "data": picture(1)}}


@pytest.mark.parametrize(("options", "seen"), [({}, [3, 4, 5]), ({"recent_screenshots": 1}, [5])])
async def test_old_screenshots_are_not_sent_again(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents, options: dict[str, Any], seen: list[int]
) -> None:
    server = endpoint(*[stub.call(("wait_5_seconds", {}))] * 5, stub.say("ok"))
    async with agent_of(server, GeminiCUAAgent, **options) as agent:
        await agent.run(PROMPT, Browser(COMPUTER))
    told = responses(server.bodies[-1])
    assert [one["response"] for one in told] == [{"url": "http://shop"}] * 5
    shown = [number for number, one in enumerate(told, 1) if "parts" in one]
    assert shown == seen
    assert [told[number - 1]["parts"][0]["inlineData"]["data"] for number in seen] == [picture(n) for n in seen]


async def test_all_screenshots_may_be_kept(endpoint: Endpoint, stub: ModuleType, agent_of: Agents) -> None:
    server = endpoint(*[stub.call(("wait_5_seconds", {}))] * 5, stub.say("ok"))
    async with agent_of(server, GeminiCUAAgent, recent_screenshots=None) as agent:
        await agent.run(PROMPT, Browser(COMPUTER))
    assert all("parts" in one for one in responses(server.bodies[-1]))


async def test_a_computer_is_needed(endpoint: Endpoint, stub: ModuleType, agent_of: Agents) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server, GeminiCUAAgent) as agent:
        with pytest.raises(AgentError, match=r"needs a computer: a tool named 'gemini_computer'.*tools: note$"):
            await agent.run(PROMPT, Browser(NOTE))
    assert server.requests == []


async def test_the_model_is_asked_without_a_computer_whether_it_paused(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents
) -> None:
    server = endpoint(stub.say("shall I?"), stub.say("CONTINUE"), stub.say("done"), stub.say("STOP"))
    async with agent_of(server, GeminiCUAAgent, auto_respond=True) as agent:
        assert (await agent.run(PROMPT, Browser(COMPUTER))).text == "done"
    assert ["tools" in body for body in server.bodies] == [True, False, True, False]


async def test_a_tool_of_another_name_may_be_marked_as_the_computer(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents
) -> None:
    form = {"api_type": "computer_use", "role": "computer", "extra": {"environment": "desktop"}}
    phone = Tool(name="desk", meta={"native_tools": {"gemini_cua": form, "gemini": form}})
    server = endpoint(stub.call(("press_key", {"intent": "go"})), stub.say("ok"))
    for kind in (GeminiCUAAgent, GeminiAgent):
        browser = Browser(phone)
        async with agent_of(server, kind, model="gemini-3.5-flash") as agent:
            await agent.run(PROMPT, browser)
    assert server.bodies[0]["tools"] == server.bodies[2]["tools"]
    assert server.bodies[0]["tools"] == [{"computerUse": {"environment": "ENVIRONMENT_DESKTOP"}}]
    assert browser.calls == []
    assert responses(server.bodies[1])[0]["name"] == "press_key"


async def test_without_a_mark_the_general_agent_sees_a_function(
    endpoint: Endpoint, stub: ModuleType, agent_of: Agents
) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(PROMPT, Browser(COMPUTER))
    [[declared]] = [tool["functionDeclarations"] for tool in server.bodies[0]["tools"]]
    assert declared["name"] == "gemini_computer"
