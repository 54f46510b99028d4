"""hud-gemini keeps the kernel's contracts. A double answers behind the SDK's HTTP client: this file stands alone."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from google import genai

from hud_core.agents import NativeTool
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.errors import AgentError
from hud_core.testing import AgentContract, PluginContract
from hud_core.testing.agent import PROMPT
from hud_gemini import GeminiAgent, GeminiCUAAgent

pytestmark = pytest.mark.slow


class TestPlugin(PluginContract):
    plugin = "hud_gemini"
    distribution = "hud-gemini"


class Double:
    """A model that calls one tool so many times in a conversation, then answers."""

    def __init__(self, tool: str = "", times: int = 1, **arguments: Any) -> None:
        self.tool, self.times, self.arguments = tool, times, arguments

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        told = sum("functionResponse" in part for content in body["contents"] for part in content["parts"])
        offered = {one["name"] for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])}
        if any("computerUse" in tool for tool in body.get("tools", [])):
            offered.add("click_at")
        return httpx2.Response(200, json=self.answer(calls=told < self.times and self.tool in offered))

    def answer(self, *, calls: bool) -> dict[str, Any]:
        part = {"functionCall": {"name": self.tool, "args": self.arguments}} if calls else {"text": "3"}
        return {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}]}

    def agent(self, kind: type[GeminiAgent] = GeminiAgent) -> GeminiAgent:
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(self))
        options = genai.types.HttpOptions(base_url="http://double", httpx_async_client=http_client)
        return kind.create(model_client=genai.Client(api_key="key-1", vertexai=False, http_options=options))


class TestGemini(AgentContract):
    kind: type[GeminiAgent] = GeminiAgent
    action = "echo"

    @pytest.fixture
    def agent(self) -> GeminiAgent:
        return Double(self.action, text="hello").agent(self.kind)

    @pytest.fixture
    def stumbling(self) -> GeminiAgent:
        return Double("boom").agent(self.kind)

    @pytest.fixture
    def endless(self) -> GeminiAgent:
        return Double(self.action, times=1000, text="again").agent(self.kind)

    @pytest.fixture
    def sleeping(self) -> GeminiAgent:
        return Double("slow", marks="/tmp").agent(self.kind)


class Echoing(GeminiCUAAgent):
    """An agent whose computer is the tool ``echo``: the contract's toolbox has no other."""

    known_tools = {"echo": NativeTool(api_type="computer_use", role="computer")}  # noqa: RUF012  as the base has it


class TestComputer(TestGemini):
    kind = Echoing
    action = "click_at"

    async def test_an_agent_without_tools_answers(self, agent: GeminiAgent, closing: list[Any]) -> None:
        closing.append(agent)
        with pytest.raises(AgentError, match="needs a computer"):
            await agent.run(PROMPT, Toolbox(LocalTools({})), max_steps=10)
