"""Agents: those of the kernel, those of installed plugins, and `create_agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import Agent, ToolLoopAgent
    from hud_core import ToolLoopAgent as MCPAgent

__all__ = ["Agent", "MCPAgent", "ToolLoopAgent", "create_agent"]

__getattr__ = lazy(
    __name__,
    {"Agent": "hud_core:Agent", "MCPAgent": "hud_core:ToolLoopAgent", "ToolLoopAgent": "hud_core:ToolLoopAgent"},
    {
        "OpenAIChatAgent": ("hud_openai:OpenAIChatAgent", "hud-openai"),
        "OpenAIAgent": ("hud_openai:OpenAIAgent", "hud-openai"),
        "OperatorAgent": ("hud_openai:OperatorAgent", "hud-openai"),
        "ClaudeAgent": ("hud_anthropic:ClaudeAgent", "hud-anthropic"),
        "GeminiAgent": ("hud_gemini:GeminiAgent", "hud-gemini"),
        "GeminiCUAAgent": ("hud_gemini:GeminiCUAAgent", "hud-gemini"),
    },
)


def create_agent(model: str, **options: Any) -> Agent:
    """Make an agent from its name, or from the name of a model that an installed agent runs; works offline.

    Raises:
        UnknownProviderError: No installed agent has the name or runs such a model; the message says what to install.
        ConfigError: The agent does not take these options.
    """
    from hud_core import Kernel

    return Kernel().create_agent(model, **options)
