"""hud-cli-agent keeps the kernel's contracts; a program of a few lines beside this file is the agent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hud_cli_agent import CliAgent
from hud_core.testing import AgentContract, PluginContract

TINY = [sys.executable, str(Path(__file__).with_name("tiny_agent.py"))]


def tiny(call: str, times: int = 1, **arguments: Any) -> CliAgent:
    options = ["--call", call, "--arguments", json.dumps(arguments), "--times", str(times)]
    limits = ["--max-steps", "{max_steps}", "--mcp-config", "{mcp_config}"]
    return CliAgent.create(command=[*TINY, *options, *limits], step_limit_codes=[53])


class TestPlugin(PluginContract):
    plugin = "hud_cli_agent"
    distribution = "hud-cli-agent"


class TestCliAgent(AgentContract):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"  # the tools are served with uvicorn

    @pytest.fixture
    def agent(self) -> CliAgent:
        return tiny("echo", text="hello")

    @pytest.fixture
    def stumbling(self) -> CliAgent:
        return tiny("boom")

    @pytest.fixture
    def endless(self) -> CliAgent:
        return tiny("echo", times=1000, text="again")

    @pytest.fixture
    def sleeping(self) -> CliAgent:
        return tiny("slow", marks="/tmp")
