"""hud-openai keeps the kernel's contracts. A double answers behind the SDK's HTTP client: this file stands alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import pytest

from hud_core.environment.session import Toolbox
from hud_core.model.content import ImageContent
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_core.testing import AgentContract, PluginContract
from hud_openai import OpenAIAgent, OpenAIChatAgent, OperatorAgent


class TestPlugin(PluginContract):
    plugin = "hud_openai"
    distribution = "hud-openai"


class Double:
    """A model that calls one tool so many times in a conversation, then answers."""

    def __init__(self, tool: str = "", times: int = 1, **arguments: Any) -> None:
        self.tool, self.times, self.arguments = tool, times, arguments

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        told = sum(message["role"] == "tool" for message in body["messages"])
        offered = {tool["function"]["name"] for tool in body.get("tools", [])}
        return httpx2.Response(200, json=self.answer(calls=told < self.times and self.tool in offered))

    def answer(self, *, calls: bool) -> dict[str, Any]:
        function = {"name": self.tool, "arguments": json.dumps(self.arguments)}
        message = {"role": "assistant", "content": None if calls else "3"}
        if calls:
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}
        return {"id": "1", "object": "chat.completion", "created": 1, "model": "double", "choices": [choice]}

    @property
    def client(self) -> openai.AsyncOpenAI:
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(self))
        return openai.AsyncOpenAI(base_url="http://double/v1", api_key="sk-x", http_client=http_client)

    @property
    def agent(self) -> OpenAIChatAgent:
        return OpenAIChatAgent.create(model="double", openai_client=self.client)


class TestChatAgent(AgentContract):
    @pytest.fixture
    def agent(self) -> OpenAIChatAgent:
        return Double("echo", text="hello").agent

    @pytest.fixture
    def stumbling(self) -> OpenAIChatAgent:
        return Double("boom").agent

    @pytest.fixture
    def endless(self) -> OpenAIChatAgent:
        return Double("echo", times=1000, text="again").agent

    @pytest.fixture
    def sleeping(self) -> OpenAIChatAgent:
        return Double("slow", marks="/tmp").agent


class Responses(Double):
    """The same model on the Responses API, which remembers conversations by the ids of its responses."""

    def __init__(self, tool: str = "", times: int = 1, **arguments: Any) -> None:
        super().__init__(tool, times, **arguments)
        self.told: dict[str | None, int] = {None: 0}
        self.numbers = itertools.count()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        told = self.told[body.get("previous_response_id")]
        told += sum(item.get("type", "").endswith("_output") for item in body["input"])
        identity = f"resp_{next(self.numbers)}"
        self.told[identity] = told
        offered = {tool.get("name") for tool in body.get("tools", [])}
        item = self.item(calls=told < self.times and self.tool in offered)
        return httpx2.Response(200, json={"id": identity, "status": "completed", "output": [item]})

    def item(self, *, calls: bool) -> dict[str, Any]:
        if calls:
            arguments = json.dumps(self.arguments)
            return {"type": "function_call", "call_id": "call_1", "name": self.tool, "arguments": arguments}
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "3"}]}

    @property
    def agent(self) -> OpenAIAgent:  # type: ignore[override]
        return OpenAIAgent.create(model="double", openai_client=self.client)


class TestResponsesAgent(AgentContract):
    @pytest.fixture
    def agent(self) -> OpenAIAgent:
        return Responses("echo", text="hello").agent

    @pytest.fixture
    def stumbling(self) -> OpenAIAgent:
        return Responses("boom").agent

    @pytest.fixture
    def endless(self) -> OpenAIAgent:
        return Responses("echo", times=1000, text="again").agent

    @pytest.fixture
    def sleeping(self) -> OpenAIAgent:
        return Responses("slow", marks="/tmp").agent


class WithScreen:
    """The contract's tools and a computer beside them."""

    def __init__(self, tools: Toolbox) -> None:
        self.tools = tools

    async def list_tools(self) -> Sequence[Tool]:
        schema = {"type": "object", "properties": {"type": {"type": "string"}}}
        return [*await self.tools.list_tools(), Tool(name="openai_computer", input_schema=schema)]

    async def call_tool(self, call: ToolCall) -> ToolResult:
        if call.name == "openai_computer":
            return ToolResult(content=(ImageContent(data="AAAA"),))
        return await self.tools.call_tool(call)


class Seated(OperatorAgent):
    """Operator, which brings its computer along."""

    async def run(self, prompt: Any, toolbox: Any = None, *, max_steps: int = 10) -> Any:
        return await super().run(prompt, Toolbox(WithScreen(toolbox)), max_steps=max_steps)


class Clicking(Responses):
    """The model clicks once, before it does what the contract asks for."""

    def __init__(self, tool: str = "", times: int = 1, **arguments: Any) -> None:
        super().__init__(tool, times, **arguments)
        self.told[None] = -1

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        if "previous_response_id" in body:
            return await super().__call__(request)
        identity = f"resp_{next(self.numbers)}"
        self.told[identity] = -1
        call = {"type": "computer_call", "call_id": "call_0", "action": {"type": "screenshot"}}
        return httpx2.Response(200, json={"id": identity, "status": "completed", "output": [call]})

    @property
    def agent(self) -> Seated:  # type: ignore[override]
        return Seated.create(openai_client=self.client)


class TestOperatorAgent(AgentContract):
    @pytest.fixture
    def agent(self) -> Seated:
        return Clicking("echo", text="hello").agent

    @pytest.fixture
    def stumbling(self) -> Seated:
        return Clicking("boom").agent

    @pytest.fixture
    def sleeping(self) -> Seated:
        return Clicking("slow", marks="/tmp").agent

    @pytest.fixture
    def endless(self) -> Seated:
        class Waving(Clicking):
            """Calls the contract's tool from the first turn on."""

            __call__ = Responses.__call__

        return Waving("echo", times=1000, text="again").agent
