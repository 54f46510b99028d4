"""LlamaIndex's own agent with the tools of a rollout."""

from __future__ import annotations

import json
from typing import Any

import anyio.to_thread
import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.calling import call_tool
from pydantic import Field

from hud_core import ConfigError


class Scripted(FunctionCallingLLM):
    """A model that calls two tools, and then says what they gave."""

    seen: list[Any] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True)

    def _prepare_chat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
        self.seen.append([tool.metadata.to_openai_tool() for tool in tools])
        return {"messages": [*(chat_history or []), *([user_msg] if user_msg else [])]}

    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        told = [message.content for message in messages if message.role == "tool"]
        return ChatResponse(
            message=ChatMessage(
                role="assistant", content=told[0] if told else "", additional_kwargs={"done": bool(told)}
            )
        )

    async def astream_chat(self, messages: Any, **_: Any) -> Any:
        async def stream() -> Any:
            yield await self.achat(messages)

        return stream()

    async def astream_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any
    ) -> Any:
        return await self.astream_chat(**self._prepare_chat_with_tools(tools, user_msg, chat_history))

    async def achat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
        return await self.achat(**self._prepare_chat_with_tools(tools, user_msg, chat_history))

    def get_tool_calls_from_response(self, response: Any, **_: Any) -> list[ToolSelection]:
        if response.message.additional_kwargs["done"]:
            return []
        return [
            ToolSelection(tool_id="c1", tool_name="count_letter", tool_kwargs={"text": "strawberry"}),
            ToolSelection(tool_id="c2", tool_name="refuse", tool_kwargs={"config": "x"}),
        ]

    def chat(self, *_: Any, **__: Any) -> Any: ...
    def stream_chat(self, *_: Any, **__: Any) -> Any: ...
    def complete(self, *_: Any, **__: Any) -> Any: ...
    def stream_complete(self, *_: Any, **__: Any) -> Any: ...
    async def acomplete(self, *_: Any, **__: Any) -> Any: ...
    async def astream_complete(self, *_: Any, **__: Any) -> Any: ...


async def test_its_agent_calls_the_tools(ctx: Any) -> None:
    model = Scripted()
    handler = FunctionAgent(tools=ctx.as_llamaindex_tools(), llm=model).run(ctx.prompt)
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    answer = await handler
    assert json.loads(answer.response.content) == {"count": 3}
    outputs = {event.tool_name: event.tool_output for event in results}
    assert (outputs["count_letter"].is_error, outputs["refuse"].is_error) == (False, True)
    assert outputs["refuse"].content == "[tool error] not with x"
    function = model.seen[0][0]["function"]
    assert function["parameters"]["properties"]["text"] == {"type": "string", "description": "Where to look."}
    assert sorted(event.call.name for event in ctx.events if event.type == "tool_called") == ["count_letter", "refuse"]


async def test_sync_code_calls_it_from_another_thread(ctx: Any) -> None:
    tool, refuse = ctx.as_llamaindex_tools()
    output = await anyio.to_thread.run_sync(call_tool, tool, {"text": "strawberry", "letter": "s"})
    assert (json.loads(output.content), output.raw_input) == ({"count": 1}, {"text": "strawberry", "letter": "s"})
    output = await anyio.to_thread.run_sync(call_tool, refuse, {"config": "x"})  # one argument comes without its name
    assert (output.content, output.is_error) == ("[tool error] not with x", True)


async def test_sync_code_on_the_loop_is_told_what_to_do(ctx: Any) -> None:
    tool, _ = ctx.as_llamaindex_tools()
    with pytest.raises(ConfigError, match=r"was called without await .* await tool.acall\(...\), or"):
        tool.call(text="strawberry")
