"""Runs any command-line agent on the tasks of hud-core, with the tools served to it over MCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_cli_agent.agent import CliAgent as CliAgent
    from hud_cli_agent.config import CliConfig as CliConfig
    from hud_cli_agent.recipes import PRESETS as PRESETS
    from hud_cli_agent.recipes import Recipe as Recipe
    from hud_core.interfaces import Agent

_HOMES = {"CliAgent": "agent", "CliConfig": "config", "PRESETS": "recipes", "Recipe": "recipes"}


def _load() -> Callable[..., Agent]:
    from hud_cli_agent.agent import CliAgent

    return CliAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide the agent that is another program."""
    yield Provider("cli", _load, "any command-line agent (claude_code, codex, gemini_cli, qwen_code, ...)")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
