"""hud-anthropic keeps the kernel's contracts. A double answers behind the SDK's HTTP client: this file stands alone."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest

from hud_anthropic import ClaudeAgent
from hud_core.testing import AgentContract, PluginContract


class TestPlugin(PluginContract):
    plugin = "hud_anthropic"
    distribution = "hud-anthropic"


class Double:
    """A model that calls one tool so many times in a conversation, then answers."""

    def __init__(self, tool: str = "", times: int = 1, **arguments: Any) -> None:
        self.tool, self.times, self.arguments = tool, times, arguments

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        told = sum(block["type"] == "tool_result" for message in body["messages"] for block in message["content"])
        offered = {tool["name"] for tool in body.get("tools", [])}
        events = self.events(calls=told < self.times and self.tool in offered)
        stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return httpx2.Response(200, text=stream, headers={"content-type": "text/event-stream"})

    def events(self, *, calls: bool) -> list[dict[str, Any]]:
        use = {"type": "tool_use", "id": "toolu_1", "name": self.tool, "input": {}}
        block = use if calls else {"type": "text", "text": ""}
        arguments = {"type": "input_json_delta", "partial_json": json.dumps(self.arguments)}
        delta = arguments if calls else {"type": "text_delta", "text": "3"}
        message = {"id": "msg_1", "role": "assistant", "model": "double", "usage": {"input_tokens": 1}}
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {}},
            {"type": "message_stop"},
        ]

    @property
    def agent(self) -> ClaudeAgent:
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(self))
        client = anthropic.AsyncAnthropic(base_url="http://double", api_key="sk-x", http_client=http_client)
        return ClaudeAgent.create(model="double", model_client=client)


class TestClaude(AgentContract):
    @pytest.fixture
    def agent(self) -> ClaudeAgent:
        return Double("echo", text="hello").agent

    @pytest.fixture
    def stumbling(self) -> ClaudeAgent:
        return Double("boom").agent

    @pytest.fixture
    def endless(self) -> ClaudeAgent:
        return Double("echo", times=1000, text="again").agent

    @pytest.fixture
    def sleeping(self) -> ClaudeAgent:
        return Double("slow", marks="/tmp").agent
