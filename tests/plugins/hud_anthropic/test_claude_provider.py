from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import hud_anthropic
from hud_anthropic import ClaudeAgent, ClaudeConfig
from hud_core.agents import AgentType
from hud_core.errors import UnknownProviderError
from hud_core.kernel import Kernel


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_anthropic], autoload=False)


@pytest.mark.parametrize("name", ["claude", AgentType.CLAUDE])
def test_the_agent_is_made_by_its_name(kernel: Kernel, name: str) -> None:
    agent = kernel.create_agent(name, api_key="sk-1")
    assert isinstance(agent, ClaudeAgent)
    assert agent.name == agent.config.model == "claude-sonnet-4-5"
    assert AgentType.CLAUDE.load(kernel) is ClaudeAgent


@pytest.mark.parametrize(
    "model",
    [
        "claude-sonnet-4-5",
        "claude-opus-4-5@20251101",
        "anthropic/claude-haiku-4-5",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)
def test_the_agent_is_made_by_the_name_of_a_model(kernel: Kernel, model: str) -> None:
    agent = kernel.create_agent(model, api_key="sk-1", temperature=0)
    assert isinstance(agent, ClaudeAgent)
    assert isinstance(agent.config, ClaudeConfig)
    assert (agent.config.model, agent.config.temperature) == (model, 0)


def test_the_facade_has_it() -> None:
    import hud.agents.claude

    assert hud.agents.ClaudeAgent is hud.agents.claude.ClaudeAgent is ClaudeAgent
    assert AgentType.CLAUDE.cls is ClaudeAgent
    assert AgentType.CLAUDE.config_cls is ClaudeConfig
    agent = hud.agents.create_agent("claude-sonnet-4-5", api_key="sk-1", temperature=0.7)
    assert isinstance(agent, ClaudeAgent)
    assert agent.config.temperature == 0.7


@pytest.mark.parametrize("name", ["claude", "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"])
def test_without_the_distribution_the_message_names_it(name: str) -> None:
    with pytest.raises(UnknownProviderError, match="hud-anthropic"):
        Kernel(plugins=[], autoload=False).create_agent(name)


def test_importing_the_plugin_imports_no_sdk() -> None:
    code = (
        "import sys, hud_anthropic; list(hud_anthropic.hud_agents());"
        "print([m for m in ('anthropic', 'anyio', 'attrs', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ClaudAgent'"):
        _ = hud_anthropic.ClaudAgent  # type: ignore[attr-defined]


FORGETFUL = """
import anyio, sys, gc
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.model.content import Message, Prompt, TextContent
from hud_anthropic import ClaudeAgent

async def main():
    for _ in range(2):
        agent = ClaudeAgent.create(base_url=sys.argv[1], api_key="sk-1")
        prompt = Prompt(messages=(Message(content=(TextContent(text="x"),)),))
        print((await agent.run(prompt, Toolbox(LocalTools({})))).text)
        del agent
        gc.collect()
        await anyio.sleep(0.05)

anyio.run(main)
"""


def test_an_agent_that_nobody_closes_leaves_no_noise(endpoint: Callable[..., Any], stub: ModuleType) -> None:
    server = endpoint(stub.say("ok"))
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", FORGETFUL, server.url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "ok\nok\n"
    assert done.stderr == ""
