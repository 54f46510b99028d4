"""Tools in Anthropic's own forms, those that run at Anthropic's, and how the model may call them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import attrs
import pytest

from hud_anthropic import ClaudeAgent
from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.tools import Tool, ToolCall, ToolResult

Endpoint = Callable[..., Any]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))


class Shelf:
    """Tools by name, and what was called."""

    def __init__(self, *tools: Tool) -> None:
        self.tools = tools
        self.called: list[ToolCall] = []

    async def list_tools(self) -> list[Tool]:
        return list(self.tools)

    async def call_tool(self, call: ToolCall) -> ToolResult:
        self.called.append(call)
        return ToolResult(content=(TextContent(text="done"),))


def tool(name: str, *arguments: str, **meta: Any) -> Tool:
    schema = {"type": "object", "properties": {argument: {"type": "string"} for argument in arguments}}
    return Tool(name=name, description=f"The {name}.", input_schema=schema, meta=meta)


def marked(name: str, *forms: dict[str, Any], agent: str = "claude") -> Tool:
    return tool(name, native_tools={agent: list(forms)})


def function(offered: Tool, name: str = "") -> dict[str, Any]:
    return {"name": name or offered.name, "description": offered.description, "input_schema": offered.input_schema}


async def offered(
    endpoint: Endpoint, stub: ModuleType, *tools: Tool, **options: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """Give the tools of the request, and its betas."""
    server = endpoint(stub.say("ok"))
    settings = {"base_url": server.url, "api_key": "sk-1", "prompt_caching": False, **options}
    async with ClaudeAgent.create(**settings) as agent:
        await agent.run(PROMPT, Toolbox(Shelf(*tools)))
    [request] = server.requests
    return request.body["tools"], request.headers.get("anthropic-beta")


SCREEN = {"display_width_px": 1400, "display_height_px": 850}
OLD = {"api_type": "computer_20250124", "api_name": "computer", "role": "computer", "extra": SCREEN}
NEW = {**OLD, "api_type": "computer_20251124", "supported_models": ["*opus-4-5*", "*sonnet-4-6*"]}


@pytest.mark.parametrize(
    ("model", "kind", "beta"),
    [
        ("claude-sonnet-4-5", "computer_20250124", "computer-use-2025-01-24"),
        ("claude-opus-4-5-20251101", "computer_20251124", "computer-use-2025-11-24"),
    ],
)
async def test_the_computer_that_the_model_knows_is_offered_with_its_beta(
    endpoint: Endpoint, stub: ModuleType, model: str, kind: str, beta: str
) -> None:
    tools, betas = await offered(endpoint, stub, marked("anthropic_computer", NEW, OLD), model=model)
    assert tools == [{"type": kind, "name": "computer", **SCREEN}]
    assert betas == beta


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("claude-sonnet-4-5", "computer_20250124"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "computer_20250124"),
        ("claude-opus-4-1", "computer_20250124"),
        ("claude-opus-4-5", "computer_20251124"),
        ("claude-sonnet-4-6", "computer_20251124"),
        ("claude-sonnet-5", "computer_20251124"),
        ("claude-opus-5-20260801", "computer_20251124"),
        ("us.anthropic.claude-sonnet-5-5-v1:0", "computer_20251124"),
        ("claude-3-5-sonnet-latest", None),
    ],
)
async def test_a_computer_without_a_mark_is_known_by_its_name_and_resolution(
    endpoint: Endpoint, stub: ModuleType, model: str, kind: str | None
) -> None:
    plain = tool("computer", "action", "coordinate", resolution={"width": 1400, "height": 850})
    tools, betas = await offered(endpoint, stub, plain, model=model)
    assert tools == [{"type": kind, "name": "computer", **SCREEN} if kind else function(plain)]
    assert (betas is not None) is (kind is not None)


async def test_a_computer_is_an_ordinary_tool_without_the_beta_or_the_size_of_its_screen(
    endpoint: Endpoint, stub: ModuleType
) -> None:
    screen = marked("anthropic_computer", OLD)
    assert await offered(endpoint, stub, screen, use_computer_beta=False) == ([function(screen, "computer")], None)
    blind = marked("anthropic_computer", {**OLD, "extra": {}})
    assert await offered(endpoint, stub, blind) == ([function(blind, "computer")], None)


async def test_sizes_may_have_the_reference_s_names(endpoint: Endpoint, stub: ModuleType) -> None:
    named = marked("c", {**OLD, "extra": {"display_width": 1400, "display_height": 850, "display_number": 1}})
    [wire], _ = await offered(endpoint, stub, named)
    assert wire == {"type": "computer_20250124", "name": "computer", "display_number": 1, **SCREEN}


async def test_shell_editor_and_memory_are_offered_in_their_own_form(endpoint: Endpoint, stub: ModuleType) -> None:
    tools, betas = await offered(
        endpoint, stub, tool("bash", "command", "restart"), tool("edit", "command", "path"), tool("memory", "command")
    )
    assert tools == [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "memory_20250818", "name": "memory"},
    ]
    assert betas is None


async def test_tools_that_only_share_a_name_with_them_are_ordinary_ones(endpoint: Endpoint, stub: ModuleType) -> None:
    bash, edit = tool("bash", "script"), tool("edit", "path", "new_text")
    tools, _ = await offered(endpoint, stub, bash, edit)
    assert tools == [function(bash), function(edit, "str_replace_based_edit_tool")]


async def test_calls_of_native_tools_reach_the_environment_unchanged(endpoint: Endpoint, stub: ModuleType) -> None:
    click = {"action": "left_click", "coordinate": [3, 4]}
    shot = {"action": "screenshot"}
    server = endpoint(stub.call(("computer", click)), stub.call(("computer", shot)), stub.say("ok"))
    shelf = Shelf(marked("anthropic_computer", OLD))
    async with ClaudeAgent.create(base_url=server.url, api_key="sk-1") as agent:
        await agent.run(PROMPT, Toolbox(shelf))
    assert [attrs.evolve(call, id="") for call in shelf.called] == [
        ToolCall("anthropic_computer", click),
        ToolCall("anthropic_computer", shot),
    ]
    one_by_one = {"type": "auto", "disable_parallel_tool_use": True}  # what is done at a screen has an order
    assert {body["tool_choice"] == one_by_one for body in server.bodies} == {True}


@pytest.mark.parametrize(
    "model", ["claude-sonnet-5-5", "claude-fable-5-2", "anthropic/claude-opus-6", "claude-opus-10"]
)
async def test_later_models_operate_a_computer_by_a_family_of_tools(
    endpoint: Endpoint, stub: ModuleType, model: str
) -> None:
    click = {**stub.use("left_click", {"coordinate": [3, 4]}), "toolset_name": "computer"}
    wrong = {**stub.use("type", '{"text'), "toolset_name": "computer"}
    server = endpoint(stub.message(click, stop="tool_use"), stub.message(wrong, stop="tool_use"), stub.say("ok"))
    shelf = Shelf(tool("computer", "action", "coordinate", "text"))
    async with ClaudeAgent.create(base_url=server.url, api_key="sk-1", model=model, prompt_caching=False) as agent:
        await agent.run(PROMPT, Toolbox(shelf))
    assert [attrs.evolve(call, id="") for call in shelf.called] == [
        ToolCall("computer", {"action": "left_click", "coordinate": [3, 4]})
    ]
    assert server.bodies[0]["tools"] == [{"type": "computer_toolset_20260801"}]
    assert "anthropic-beta" not in server.requests[0].headers
    said, told, _, failed = server.bodies[2]["messages"][1:]
    assert said["content"] == [click]
    assert (told["content"][0]["tool_use_id"], told["content"][0]["toolset_name"]) == ("toolu_0", "computer")
    assert (failed["content"][0]["is_error"], failed["content"][0]["toolset_name"]) == (True, "computer")


async def test_a_family_may_be_marked(endpoint: Endpoint, stub: ModuleType) -> None:
    form = {
        "api_type": "computer_toolset_20260801",
        "role": "computer",
        "extra": {"configs": {"zoom": {"enabled": False}}},
    }
    screen = marked("screen", form)
    tools, _ = await offered(endpoint, stub, screen)
    assert tools == [{"type": "computer_toolset_20260801", "configs": {"zoom": {"enabled": False}}}]
    tools, _ = await offered(endpoint, stub, screen, use_computer_beta=False)
    assert tools == [function(screen)]


# --- tools that run at Anthropic's ------------------------------------------------------------------------------------

SEARCH = {"api_type": "web_search_20250305", "api_name": "web_search", "hosted": True, "extra": {"max_uses": 3}}


async def test_hosted_tools_are_offered_with_their_settings_and_betas(endpoint: Endpoint, stub: ModuleType) -> None:
    fetch = {"api_type": "web_fetch_20250910", "hosted": True, "beta": "web-fetch-2025-09-10"}
    run = {"api_type": "code_execution_20250825", "api_name": "code_execution", "hosted": True}
    shelf = (marked("web_search", SEARCH), marked("web_fetch", fetch), marked("run", run))
    tools, betas = await offered(endpoint, stub, *shelf, betas=["web-fetch-2025-09-10", "files-api-2025-04-14"])
    assert tools == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "code_execution_20250825", "name": "code_execution"},
    ]
    assert betas == "web-fetch-2025-09-10,files-api-2025-04-14"


async def test_what_ran_at_the_vendor_s_goes_back_as_it_came_and_the_answer_is_what_follows(
    endpoint: Endpoint, stub: ModuleType
) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "r"}}
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "https://x.test", "title": "X", "encrypted_content": "e"}],
    }
    container = {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}
    said = [stub.text("I search."), search, found, stub.text("Now I look.")]
    looks = stub.message(*said, stub.use("look", {}), stop="tool_use", container=container)
    server = endpoint(looks, stub.message(stub.text("Searching again."), search, found, stub.text("3")))
    shelf = Shelf(marked("web_search", SEARCH), tool("look"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with ClaudeAgent.create(base_url=server.url, api_key="sk-1") as agent:
        answer = await agent.run(PROMPT, Toolbox(shelf))
    trace.current_recorder.reset(token)
    assert answer.text == "3"
    lines = [event.text for event in recorder.pending if event.type == "log_line"]
    assert lines == ['the endpoint ran a tool of its own: web_search {"query": "r"}'] * 2
    assert [call.name for call in shelf.called] == ["look"]
    first, second = server.bodies
    assert "container" not in first
    assert second["container"] == "container_1"
    assert second["messages"][1] == {"role": "assistant", "content": [*said, stub.use("look", {})]}


async def test_many_tools_are_searched_and_few_are_shown(endpoint: Endpoint, stub: ModuleType) -> None:
    search = {"api_type": "tool_search_tool_bm25_20251119", "hosted": True, "extra": {"threshold": 2}}
    many = [tool(f"t{n}") for n in range(3)]
    tools, _ = await offered(endpoint, stub, marked("tool_search", search), tool("bash", "command"), *many)
    assert tools == [
        {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
        {"type": "bash_20250124", "name": "bash"},
        *({**function(one), "defer_loading": True} for one in many),
    ]
    tools, _ = await offered(endpoint, stub, marked("tool_search", search), *many[:2])
    assert tools == [function(one) for one in many[:2]]


async def test_another_vendor_s_hosted_tool_is_not_offered(endpoint: Endpoint, stub: ModuleType) -> None:
    elsewhere = marked("google_search", {"api_type": "google_search", "hosted": True}, agent="gemini")
    tools, _ = await offered(endpoint, stub, elsewhere, tool("look"))
    assert [one["name"] for one in tools] == ["look"]


# --- how tools may be called ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, None),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "any"}, {"type": "any"}),
        ({"tool_choice": "look"}, {"type": "tool", "name": "look"}),
        ({"tool_choice": {"type": "auto"}}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "any", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
async def test_tool_choice(endpoint: Endpoint, stub: ModuleType, options: dict[str, Any], choice: Any) -> None:
    server = endpoint(stub.say("ok"))
    async with ClaudeAgent.create(base_url=server.url, api_key="sk-1", **options) as agent:
        await agent.run(PROMPT, Toolbox(Shelf(tool("look"))))
        await agent.run(PROMPT, Toolbox(Shelf()))
    with_tools, without = server.bodies
    assert with_tools.get("tool_choice") == choice
    assert "tool_choice" not in without
