from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import hud_openai
from hud_core.agents import AgentType
from hud_core.kernel import Kernel
from hud_openai import ChatConfig, OpenAIChatAgent


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_openai], autoload=False)


def test_the_agent_is_made_by_its_name(kernel: Kernel) -> None:
    agent = kernel.create_agent("openai_compatible", base_url="http://x/v1", model="m")
    assert isinstance(agent, OpenAIChatAgent)
    assert agent.name == "m"
    assert AgentType.OPENAI_COMPATIBLE.load(kernel) is OpenAIChatAgent


def test_an_endpoint_in_the_environment_is_tried_for_any_model(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel.agents.for_model("qwen3:8b") is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://x/v1")
    agent = Kernel(plugins=[hud_openai], autoload=False).create_agent("qwen3:8b", temperature=0)
    assert isinstance(agent, OpenAIChatAgent)
    assert isinstance(agent.config, ChatConfig)
    assert (agent.config.model, agent.config.base_url) == ("qwen3:8b", "http://x/v1")
    assert agent.config.completion_kwargs == {"temperature": 0}


def test_importing_the_plugin_imports_no_sdk() -> None:
    code = (
        "import sys, hud_openai; list(hud_openai.hud_agents());"
        "print([m for m in ('openai', 'anyio', 'attrs', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'OpenAIChatAgnet'"):
        _ = hud_openai.OpenAIChatAgnet  # type: ignore[attr-defined]


FORGETFUL = """
import anyio, sys, gc
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.model.content import Message, Prompt, TextContent
from hud_openai import OpenAIChatAgent

async def main():
    for _ in range(2):
        agent = OpenAIChatAgent.create(base_url=sys.argv[1], model="m")
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
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code, server.url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "ok\nok\n"
    assert done.stderr == ""
