from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import hud.agents
import hud_gemini
from hud_core.agents import AgentType
from hud_core.errors import ConfigError, UnknownProviderError
from hud_core.kernel import Kernel
from hud_gemini import GeminiAgent, GeminiCUAAgent

pytestmark = pytest.mark.slow


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_gemini], autoload=False)


@pytest.mark.parametrize(
    ("name", "kind", "model"),
    [
        ("gemini", GeminiAgent, "gemini-3-pro-preview"),
        ("gemini_cua", GeminiCUAAgent, "gemini-2.5-computer-use-preview-10-2025"),
        ("gemini-2.5-flash", GeminiAgent, "gemini-2.5-flash"),
        ("gemini-9-computer-use-preview", GeminiCUAAgent, "gemini-9-computer-use-preview"),
    ],
)
def test_the_agents_are_made_by_their_names_and_by_those_of_models(
    kernel: Kernel, name: str, kind: type[GeminiAgent], model: str
) -> None:
    agent = kernel.create_agent(name, api_key="k")
    assert type(agent) is kind
    assert (agent.name, agent.config.model) == (model, model)


def test_the_well_known_names_lead_here(kernel: Kernel) -> None:
    assert AgentType.GEMINI.load(kernel) is AgentType.GEMINI.cls is hud.agents.GeminiAgent is GeminiAgent
    assert AgentType.GEMINI_CUA.load(kernel) is AgentType.GEMINI_CUA.cls is hud.agents.GeminiCUAAgent is GeminiCUAAgent


def test_the_facade_makes_one_offline_and_asks_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="set GEMINI_API_KEY"):
        hud.agents.create_agent("gemini-3-pro-preview")
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    agent = hud.agents.create_agent("gemini-3-pro-preview", temperature=0)
    assert isinstance(agent, GeminiAgent)
    assert agent.config.temperature == 0


@pytest.mark.parametrize("name", ["gemini", "gemini_cua", "gemini-3-pro-preview"])
def test_without_the_distribution_the_message_names_it(name: str) -> None:
    with pytest.raises(UnknownProviderError, match="pip install hud-gemini"):
        Kernel(plugins=[], autoload=False).create_agent(name)


def test_importing_the_plugin_imports_no_sdk() -> None:
    code = (
        "import sys, hud_gemini; list(hud_gemini.hud_agents());"
        "print([m for m in ('google', 'aiohttp', 'anyio', 'attrs', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'GeminiAgnet'"):
        _ = hud_gemini.GeminiAgnet  # type: ignore[attr-defined]


FORGETFUL = """
import anyio, sys, gc
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.model.content import Message, Prompt, TextContent
from hud_gemini import GeminiAgent

async def main():
    for _ in range(2):
        agent = GeminiAgent.create(base_url=sys.argv[1], api_key="k")
        prompt = Prompt(messages=(Message(content=(TextContent(text="x"),)),))
        print((await agent.run(prompt, Toolbox(LocalTools({})))).text)
        {forget}

anyio.run(main)
"""


@pytest.mark.parametrize("forget", ["pass", "del agent; gc.collect(); await anyio.sleep(0.05)"])
def test_an_agent_that_nobody_closes_leaves_no_noise(
    endpoint: Callable[..., Any], stub: ModuleType, forget: str
) -> None:
    server = endpoint(stub.say("ok"))
    code = FORGETFUL.replace("{forget}", forget)
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code, server.url.removesuffix("/v1")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "ok\nok\n"
    assert done.stderr == ""
