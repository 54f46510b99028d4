"""The agent on Anthropic's Messages API. Importing this package imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_anthropic.agent import ClaudeAgent as ClaudeAgent
    from hud_anthropic.config import ClaudeConfig as ClaudeConfig
    from hud_core.interfaces import Agent

_HOMES = {"ClaudeAgent": "agent", "ClaudeConfig": "config"}

MODELS = ("claude-*", "anthropic/claude-*", "*anthropic.claude-*")
"""Names of its models: Anthropic's own and Vertex's, those of gateways, those of Bedrock."""


def _load() -> Callable[..., Agent]:
    from hud_anthropic.agent import ClaudeAgent

    return ClaudeAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide the agent."""
    yield Provider("claude", _load, "Claude, on Anthropic's Messages API, Bedrock, Vertex or a gateway", MODELS)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
