"""The tools of hud-core environments for LangChain, LlamaIndex, Google ADK and the OpenAI Agents SDK.

It has no hooks, so kernels do not load it: ``as_langchain_tools()`` and its siblings, of rollouts and environments, do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_frameworks.adk import adk_tools as adk_tools
    from hud_frameworks.langchain import langchain_tools as langchain_tools
    from hud_frameworks.llamaindex import llamaindex_tools as llamaindex_tools
    from hud_frameworks.openai_agents import openai_agent_tools as openai_agent_tools

_HOMES = {
    "adk_tools": "adk",
    "langchain_tools": "langchain",
    "llamaindex_tools": "llamaindex",
    "openai_agent_tools": "openai_agents",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
