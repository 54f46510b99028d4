"""LangChain's own code with the tools of a rollout."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio.to_thread
import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from hud_core import ConfigError, Environment


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": "c1", "name": name, "args": arguments}


async def test_a_models_calls_are_made_in_a_loop(ctx: Any) -> None:
    tools = {tool.name: tool for tool in ctx.as_langchain_tools()}
    asked = AIMessage("", tool_calls=[call("count_letter", text="strawberry"), call("refuse", config="x")])
    model = FakeMessagesListChatModel(responses=[asked, AIMessage("3")])
    messages: list[Any] = [HumanMessage(ctx.prompt)]
    while True:
        reply = await model.ainvoke(messages)
        messages.append(reply)
        if not reply.tool_calls:
            break
        messages += [await tools[made["name"]].ainvoke(made) for made in reply.tool_calls]
    good, bad = (message for message in messages if isinstance(message, ToolMessage))
    assert (json.loads(good.content), good.status, good.tool_call_id) == ({"count": 3}, "success", "c1")
    assert (bad.content, bad.status) == ("[tool error] not with x", "error")
    assert [event.call.name for event in ctx.events if event.type == "tool_called"] == ["count_letter", "refuse"]


async def test_the_schema_reaches_the_model(ctx: Any) -> None:
    offered = convert_to_openai_tool(ctx.as_langchain_tools()[0])["function"]
    assert offered["name"] == "count_letter"
    assert offered["description"] == "Count a letter in a text."
    assert offered["parameters"]["properties"]["text"] == {"type": "string", "description": "Where to look."}
    assert offered["parameters"]["required"] == ["text"]


async def test_sync_code_calls_it_from_another_thread(ctx: Any) -> None:
    tool, _ = ctx.as_langchain_tools()
    text = await anyio.to_thread.run_sync(tool.invoke, {"text": "strawberry"})
    assert json.loads(text) == {"count": 3}


async def test_sync_code_on_the_loop_is_told_what_to_do(ctx: Any) -> None:
    tool, _ = ctx.as_langchain_tools()
    with pytest.raises(ConfigError, match=r"'count_letter' was called without await .* await tool.ainvoke\(...\), or"):
        tool.invoke({"text": "strawberry"})


async def test_another_event_loop_calls_it_on_its_own(ctx: Any) -> None:
    tool, _ = ctx.as_langchain_tools()
    elsewhere = partial(anyio.run, tool.ainvoke, {"text": "strawberry"})
    assert json.loads(await anyio.to_thread.run_sync(elsewhere)) == {"count": 3}


def test_an_environments_tools_work_without_an_event_loop(env: Environment) -> None:
    tool, refuse = env.as_langchain_tools()
    assert json.loads(tool.invoke({"text": "strawberry"})) == {"count": 3}
    assert refuse.invoke({"config": "x"}) == "[tool error] not with x"
    assert json.loads(anyio.run(tool.ainvoke, {"text": "pear"})) == {"count": 1}
