"""hud-ollama keeps the contracts of the kernel that is installed, with a double in Ollama's place."""

from __future__ import annotations

import pytest
from hud_ollama.agent import OllamaAgent

from hud_core.testing import AgentContract, PluginContract


class Double(OllamaAgent):
    """Calls one tool a number of times, then answers."""

    tool, times, arguments = "echo", 1, {"text": "hello"}

    def post(self, request):
        told = sum(message["role"] == "tool" for message in request["messages"])
        offered = [tool["function"]["name"] for tool in request["tools"]]
        said = {"role": "assistant", "content": "3"}
        if told < self.times and self.tool in offered:
            said["tool_calls"] = [{"function": {"name": self.tool, "arguments": self.arguments}}]
        return {"message": said, "prompt_eval_count": 10, "eval_count": 2}


class Stumbling(Double):
    tool, arguments = "boom", {}


class Endless(Double):
    times = 1000


class Sleeping(Double):
    tool, arguments = "slow", {"marks": "/tmp"}


class TestPlugin(PluginContract):
    plugin = "hud_ollama"
    distribution = "hud-ollama"


class TestOllama(AgentContract):
    @pytest.fixture
    def agent(self):
        return Double.create(model="llama3.2")

    @pytest.fixture
    def stumbling(self):
        return Stumbling.create(model="llama3.2")

    @pytest.fixture
    def endless(self):
        return Endless.create(model="llama3.2")

    @pytest.fixture
    def sleeping(self):
        return Sleeping.create(model="llama3.2")
