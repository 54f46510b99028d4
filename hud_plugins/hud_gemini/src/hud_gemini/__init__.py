"""Agents on the Gemini API. Importing this package imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Agent
    from hud_gemini.agent import GeminiAgent as GeminiAgent
    from hud_gemini.config import GeminiConfig as GeminiConfig
    from hud_gemini.config import GeminiCUAConfig as GeminiCUAConfig
    from hud_gemini.cua import GeminiCUAAgent as GeminiCUAAgent

_HOMES = {"GeminiAgent": "agent", "GeminiCUAAgent": "cua", "GeminiConfig": "config", "GeminiCUAConfig": "config"}


def _load() -> Callable[..., Agent]:
    from hud_gemini.agent import GeminiAgent

    return GeminiAgent


def _load_cua() -> Callable[..., Agent]:
    from hud_gemini.cua import GeminiCUAAgent

    return GeminiCUAAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide the agents."""
    yield Provider("gemini", _load, "Google's Gemini models, through the Gemini API or Vertex AI", ("gemini-*",))
    yield Provider("gemini_cua", _load_cua, "Gemini models that operate a browser", ("gemini-*computer-use*",))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
