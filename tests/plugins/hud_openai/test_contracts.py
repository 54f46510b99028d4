"""hud-openai keeps the kernel's contracts. A double answers behind the SDK's HTTP client: this file stands alone."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from hud_core.testing import AgentContract, PluginContract
from hud_openai import OpenAIChatAgent


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
    def agent(self) -> OpenAIChatAgent:
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(self))
        client = openai.AsyncOpenAI(base_url="http://double/v1", api_key="sk-x", http_client=http_client)
        return OpenAIChatAgent.create(model="double", openai_client=client)


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
