"""Tools that OpenAI's models know by themselves: how they are offered, called and answered."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import AgentError
from hud_core.model.content import ImageContent, Message, Prompt, TextContent
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_openai import OpenAIAgent, OpenAIChatAgent, OperatorAgent

PNG, LATER = (base64.b64encode(text).decode() for text in (b"a picture", b"a later one"))
Endpoint = Callable[..., Any]
ASK = Prompt(messages=(Message(content=(TextContent(text="go"),)),))


class Desk:
    """Tools that answer as told, in turn, and remember their calls."""

    def __init__(self, tools: Sequence[Tool], *results: ToolResult) -> None:
        self.tools = tools
        self.results = list(results)
        self.calls: list[ToolCall] = []

    async def list_tools(self) -> Sequence[Tool]:
        return self.tools

    async def call_tool(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    @property
    def called(self) -> list[tuple[str, dict[str, Any]]]:
        return [(call.name, call.arguments) for call in self.calls]


def tool(name: str, *parameters: str, **native: Any) -> Tool:
    meta = {"native_tools": native} if native else {}
    properties: dict[str, Any] = {parameter: {} for parameter in parameters}
    return Tool(name=name, input_schema={"type": "object", "properties": properties}, meta=meta)


SHELL = tool("shell", "commands", "timeout_ms", "max_output_length")
PATCH = tool("apply_patch", "type", "path", "diff")
SCREEN = tool("openai_computer", "type", "actions", openai={"api_type": "computer", "api_name": "computer"})
SEEN = ToolResult(content=(ImageContent(data=PNG),))


def openai(endpoint: Any, **options: Any) -> OpenAIAgent:
    return OpenAIAgent.create(**{"base_url": endpoint.url, "model": "gpt-5.4", **options})


def computer_call(stub: ModuleType, **more: Any) -> Any:
    return stub.respond({"type": "computer_call", "id": "cu_1", "call_id": "call_1", **more})


# --- shell and patches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", [SHELL, tool("shell", openai={"api_type": "shell", "api_name": "shell"})])
async def test_the_shell_is_the_model_s_own(endpoint: Endpoint, stub: ModuleType, shell: Tool) -> None:
    action = {"commands": ["ls", "false"], "timeout_ms": 1000, "max_output_length": 99}
    chunks = [{"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}] * 2
    server = endpoint(
        stub.respond({"type": "shell_call", "id": "sh_1", "call_id": "c1", "action": action, "status": "completed"}),
        stub.respond(stub.message("done")),
    )
    desk = Desk([shell], ToolResult(structuredContent={"output": chunks, "max_output_length": 5}))
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(desk))
    assert server.bodies[0]["tools"] == [{"type": "shell", "environment": {"type": "local"}}]
    assert desk.called == [("shell", action)]
    told = {"type": "shell_call_output", "call_id": "c1", "output": chunks, "max_output_length": 99}
    assert server.bodies[1]["input"] == [told]


@pytest.mark.parametrize(
    ("result", "streams", "code"),
    [
        (ToolResult(content=(TextContent(text="a"),)), ("a", ""), 0),
        (ToolResult.error("dead"), ("", "[tool error] dead"), 1),
    ],
)
async def test_a_shell_that_gives_text_is_told_as_one_command(
    endpoint: Endpoint, stub: ModuleType, result: ToolResult, streams: tuple[str, str], code: int
) -> None:
    call = {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}}
    server = endpoint(stub.respond(call), stub.respond(stub.message("done")))
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(Desk([SHELL], result)))
    outcome = {"type": "exit", "exit_code": code}
    [told] = server.bodies[1]["input"]
    assert told["output"] == [{"stdout": streams[0], "stderr": streams[1], "outcome": outcome}]
    assert "max_output_length" not in told


@pytest.mark.parametrize(
    ("result", "status", "output"),
    [
        (ToolResult(structuredContent={"status": "failed", "output": "no such line"}), "failed", "no such line"),
        (ToolResult(content=(TextContent(text="ok"),)), "completed", "ok"),
        (ToolResult.error("no such file"), "failed", "no such file"),
    ],
)
async def test_patches(endpoint: Endpoint, stub: ModuleType, result: ToolResult, status: str, output: str) -> None:
    operation = {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"}
    call = {"type": "apply_patch_call", "id": "ap_1", "call_id": "c1", "operation": operation, "status": "completed"}
    server = endpoint(stub.respond(call), stub.respond(stub.message("done")))
    desk = Desk([PATCH], result)
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(desk))
    assert server.bodies[0]["tools"] == [{"type": "apply_patch"}]
    assert desk.called == [("apply_patch", operation)]
    told = {"type": "apply_patch_call_output", "call_id": "c1", "status": status, "output": output}
    assert server.bodies[1]["input"] == [told]


@pytest.mark.parametrize(("model", "shown"), [("gpt-5.4", tool("shell", "command")), ("gpt-4o", SHELL)])
async def test_a_shell_of_another_kind_or_for_another_model_is_a_function(
    endpoint: Endpoint, stub: ModuleType, model: str, shown: Tool
) -> None:
    server = endpoint(stub.respond(stub.function("shell", {"command": "ls"})), stub.respond(stub.message("done")))
    desk = Desk([shown], ToolResult())
    async with openai(server, model=model) as agent:
        await agent.run(ASK, Toolbox(desk))
    [offered] = server.bodies[0]["tools"]
    assert (offered["type"], offered["name"]) == ("function", "shell")
    assert desk.called == [("shell", {"command": "ls"})]


async def test_a_native_form_that_nobody_here_knows_is_a_function(endpoint: Endpoint, stub: ModuleType) -> None:
    odd = tool("my_tool", "x", openai={"api_type": "telepathy", "api_name": "mind"})
    server = endpoint(stub.respond(stub.function("mind", {"x": 1})), stub.respond(stub.message("done")))
    desk = Desk([odd], ToolResult())
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(desk))
    assert [offered["name"] for offered in server.bodies[0]["tools"]] == ["mind"]
    assert desk.called == [("my_tool", {"x": 1})]


async def test_over_chat_a_model_s_own_computer_is_a_function(endpoint: Endpoint, stub: ModuleType) -> None:
    def marked(name: str, kind: str, **form: Any) -> Tool:
        return tool(name, "action", **{kind: {"api_type": "computer_use", "role": "computer", **form}})

    desks = [
        marked("openai_computer", "openai"),
        marked("glm_computer", "openai_compatible", supported_models=["glm-*"]),
        marked("qwen_computer", "openai_compatible", supported_models=["qwen*"], api_name="computer_use"),
    ]
    server = endpoint(stub.call(("computer_use", {"action": "click"})), stub.say("done"))
    desk = Desk(desks, ToolResult())
    async with OpenAIChatAgent.create(base_url=server.url, model="Qwen3-VL") as agent:
        await agent.run(ASK, Toolbox(desk))
    assert [offered["function"]["name"] for offered in server.bodies[0]["tools"]] == ["computer_use"]
    assert desk.called == [("qwen_computer", {"action": "click"})]


# --- tools that run at OpenAI's ---------------------------------------------------------------------------------------


async def test_hosted_tools_are_offered_and_never_called_here(endpoint: Endpoint, stub: ModuleType) -> None:
    hosted = [
        tool("search", openai={"api_type": "web_search", "hosted": True, "extra": {"search_context_size": "low"}}),
        tool("python", openai={"api_type": "code_interpreter", "hosted": True}),
        tool("files", openai={"api_type": "file_search", "hosted": True, "extra": {"vector_store_ids": ["vs_1"]}}),
        tool("paint", openai={"api_type": "image_generation", "hosted": True}),
        tool("box", openai={"api_type": "shell", "hosted": True, "extra": {"environment": {"type": "container_auto"}}}),
    ]
    done = {"id": "x", "status": "completed", "call_id": "c1", "action": {"commands": ["ls"]}}
    items = [{**done, "type": kind} for kind in ("web_search_call", "code_interpreter_call", "shell_call")]
    server = endpoint(stub.respond(*items, stub.message("done")))
    desk = Desk(hosted, ToolResult())
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with openai(server) as agent:
        answer = await agent.run(ASK, Toolbox(desk))
    trace.current_recorder.reset(token)
    assert answer.text == "done"
    said = [event.text for event in recorder.pending if event.type == "log_line"]
    assert said == [f"the endpoint ran a tool of its own: {item['type']}, completed" for item in items]
    assert desk.calls == []
    assert server.bodies[0]["tools"] == [
        {"type": "web_search", "search_context_size": "low"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "image_generation"},
        {"type": "shell", "environment": {"type": "container_auto"}},
    ]


@pytest.mark.parametrize(
    ("count", "extra", "is_searched"), [(10, {}, False), (11, {}, True), (3, {"threshold": 2}, True)]
)
async def test_many_functions_are_searched(
    endpoint: Endpoint, stub: ModuleType, count: int, extra: dict[str, int], is_searched: bool
) -> None:
    search = tool("tool_search", openai={"api_type": "tool_search", "hosted": True, "extra": extra})
    server = endpoint(stub.respond(stub.message("done")))
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(Desk([search, *(tool(f"t{n}") for n in range(count))], ToolResult())))
    offered = server.bodies[0]["tools"]
    assert ({"type": "tool_search"} in offered) is is_searched
    functions = [offer for offer in offered if offer["type"] == "function"]
    assert len(functions) == count
    assert {offer.get("defer_loading", False) for offer in functions} == {is_searched}


# --- computers --------------------------------------------------------------------------------------------------------


async def test_a_computer_takes_several_actions_and_gives_one_picture(endpoint: Endpoint, stub: ModuleType) -> None:
    actions = [{"type": "click", "x": 1, "y": 2, "button": "left"}, {"type": "type", "text": "hi"}]
    server = endpoint(computer_call(stub, actions=actions), stub.respond(stub.message("done")))
    pictures = ToolResult(content=(ImageContent(data=PNG), ImageContent(data=LATER, mimeType="image/jpeg")))
    desk = Desk([SCREEN], pictures)
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(desk))
    assert server.bodies[0]["tools"] == [{"type": "computer"}]
    assert desk.called == [("openai_computer", {"actions": actions})]
    shown = {"type": "computer_screenshot", "image_url": f"data:image/jpeg;base64,{LATER}"}
    assert server.bodies[1]["input"] == [{"type": "computer_call_output", "call_id": "call_1", "output": shown}]


async def test_a_computer_that_fails_is_looked_at_and_the_model_is_told(endpoint: Endpoint, stub: ModuleType) -> None:
    server = endpoint(computer_call(stub, actions=[{"type": "click", "x": -1}]), stub.respond(stub.message("done")))
    desk = Desk([SCREEN], ToolResult.error("x is off the screen"), SEEN)
    async with openai(server) as agent:
        await agent.run(ASK, Toolbox(desk))
    assert desk.called[1] == ("openai_computer", {"actions": [{"type": "screenshot"}]})
    picture, told = server.bodies[1]["input"]
    assert picture["output"]["image_url"].endswith(PNG)
    assert told["role"] == "user"
    [part] = told["content"]
    assert part["text"] == "From tool 'computer', call call_1: [tool error] x is off the screen"


async def test_a_screen_that_cannot_be_seen_ends_the_rollout(endpoint: Endpoint, stub: ModuleType) -> None:
    server = endpoint(computer_call(stub, actions=[{"type": "click", "x": 1, "y": 1}]))
    async with openai(server) as agent:
        with pytest.raises(AgentError, match=r"'computer' gave no screenshot.*no display"):
            await agent.run(ASK, Toolbox(Desk([SCREEN], ToolResult.error("no display"))))


async def test_operator(endpoint: Endpoint, stub: ModuleType) -> None:
    checks = [{"id": "sc_1", "code": "malicious_instructions", "message": "look out"}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    reply = computer_call(
        stub, action={"type": "click", "x": 1, "y": 2, "button": "left"}, pending_safety_checks=checks
    )
    reply.body["output"].insert(0, thought)
    server = endpoint(reply, stub.respond(stub.message("done")))
    desk = Desk([tool("openai_computer", "type", "x", "y", "button"), tool("note", "text")], SEEN)
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with OperatorAgent.create(base_url=server.url, system_prompt="be quick") as agent:
        answer = await agent.run(ASK, Toolbox(desk))
    trace.current_recorder.reset(token)
    assert answer.text == "done"
    first, second = server.bodies
    assert (first["model"], first["truncation"], first["reasoning"]) == (
        "computer-use-preview",
        "auto",
        {"summary": "auto"},
    )
    computer, note = first["tools"]
    size = {"display_width": 1024, "display_height": 768}
    assert computer == {"type": "computer_use_preview", "environment": "linux", **size}
    assert note["name"] == "note"
    assert first["instructions"].startswith("be quick\n\n")
    assert "nobody will answer" in first["instructions"]
    assert desk.called == [("openai_computer", {"type": "click", "x": 1, "y": 2, "button": "left"})]
    [told] = second["input"]
    assert told["acknowledged_safety_checks"] == checks
    [line] = [event for event in recorder.pending if event.type == "log_line"]
    assert line.text == "acknowledged a safety check of the model's call: malicious_instructions, look out"
    assert line.data == {"check": checks[0]}


@pytest.mark.parametrize(
    ("options", "extra", "shown"),
    [
        ({}, {"environment": "browser", "display_width": 800, "display_height": 600}, ("browser", 800)),
        ({"environment": "mac"}, {"environment": "browser"}, ("mac", 1024)),
    ],
)
async def test_what_operator_is_told_of_the_screen(
    endpoint: Endpoint, stub: ModuleType, options: dict[str, Any], extra: dict[str, Any], shown: tuple[str, int]
) -> None:
    form = {"api_type": "computer_use_preview", "api_name": "computer", "role": "computer", "extra": extra}
    server = endpoint(stub.respond(stub.message("done")))
    async with OperatorAgent.create(base_url=server.url, **options) as agent:
        await agent.run(ASK, Toolbox(Desk([tool("screen", "type", operator=form)], SEEN)))
    [offered] = server.bodies[0]["tools"]
    assert (offered["environment"], offered["display_width"]) == shown


@pytest.mark.parametrize("tools", [[], [SHELL], [tool("openai_computer", "pixels")]])
async def test_operator_needs_a_computer(endpoint: Endpoint, stub: ModuleType, tools: list[Tool]) -> None:
    server = endpoint(stub.respond(stub.message("done")))
    async with OperatorAgent.create(base_url=server.url) as agent:
        with pytest.raises(AgentError, match=f"tools: {tools[0].name if tools else 'none'}$"):
            await agent.run(ASK, Toolbox(Desk(tools, SEEN)))
    assert server.requests == []


async def test_operator_may_be_asked_whether_it_paused(endpoint: Endpoint, stub: ModuleType) -> None:
    server = endpoint(*(stub.respond(stub.message(text)) for text in ("I would click.", "CONTINUE", "done", "STOP")))
    desk = Desk([tool("openai_computer", "type")], SEEN)
    async with OperatorAgent.create(base_url=server.url, auto_respond=True) as agent:
        assert (await agent.run(ASK, Toolbox(desk))).text == "done"
    assert "nobody will answer a question" not in server.bodies[1]["instructions"]


def test_settings_of_operator() -> None:
    from hud_core.errors import ConfigError

    for options, said in (
        ({"truncation": "disabled"}, "must be 'auto'"),
        ({"environment": "amiga"}, "must be 'windows'"),
    ):
        with pytest.raises(ConfigError, match=said):
            OperatorAgent.create(base_url="http://x", **options)
    agent = OperatorAgent.create(base_url="http://x", reasoning={"summary": "concise", "effort": "low"})
    assert agent.config.reasoning == {"summary": "concise", "effort": "low"}
