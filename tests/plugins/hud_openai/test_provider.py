from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import hud_openai
from hud_core.agents import AgentType
from hud_core.errors import ConfigError, UnknownProviderError
from hud_core.kernel import Kernel
from hud_openai import ChatConfig, OpenAIAgent, OpenAIChatAgent, OpenAIConfig, OperatorAgent, OperatorConfig


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


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("gpt-5.4", OpenAIAgent),
        ("o1", OpenAIAgent),
        ("o3-mini", OpenAIAgent),
        ("o4-mini", OpenAIAgent),
        ("codex-mini-latest", OpenAIAgent),
        ("chatgpt-4o-latest", OpenAIAgent),
        ("computer-use-preview", OperatorAgent),
    ],
)
def test_models_find_their_agent_offline(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, model: str, kind: type[OpenAIAgent]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    agent = kernel.create_agent(model, max_output_tokens=9)
    assert type(agent) is kind
    assert (agent.name, agent.config.model, agent.config.max_output_tokens) == (model, model, 9)
    with pytest.raises(UnknownProviderError, match="pip install hud-openai"):
        Kernel(autoload=False).create_agent(model)


def test_an_open_model_at_an_endpoint_of_one_s_own_is_asked_over_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://x/v1")
    kernel = Kernel(plugins=[hud_openai], autoload=False)
    assert isinstance(kernel.create_agent("gpt-oss-20b"), OpenAIChatAgent)
    assert isinstance(kernel.create_agent("gpt-5.4"), OpenAIAgent)


def test_the_default_models(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    named = {name: kernel.create_agent(name).config.model for name in ("openai", "operator", "openai_compatible")}  # type: ignore[attr-defined]
    assert named == {"openai": "gpt-5.4", "operator": "computer-use-preview", "openai_compatible": "gpt-5-mini"}
    assert kernel.create_agent("openai", checkpoint_name="gpt-5").name == "gpt-5"


def test_the_well_known_agents_and_their_settings() -> None:
    known = {
        AgentType.OPENAI: (OpenAIAgent, OpenAIConfig),
        AgentType.OPERATOR: (OperatorAgent, OperatorConfig),
        AgentType.OPENAI_COMPATIBLE: (OpenAIChatAgent, ChatConfig),
    }
    assert {kind: (kind.cls, kind.config_cls) for kind in known} == known
    with pytest.raises(ConfigError, match="'integration_test' has no settings class"):
        _ = AgentType.INTEGRATION_TEST.config_cls


def test_the_settings_and_the_classes_need_no_sdk() -> None:
    code = (
        "import sys; from hud.agents import OpenAIAgent, OperatorAgent; from hud_core.agents import AgentType;"
        "print(AgentType.OPENAI.config_cls.__name__, AgentType.OPERATOR.cls.__name__, 'openai' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "OpenAIConfig OperatorAgent False"


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
