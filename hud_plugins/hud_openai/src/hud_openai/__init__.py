"""Agents on the OpenAI API and on every endpoint that speaks it. Importing this package imports no SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Agent
    from hud_openai.chat import OpenAIChatAgent as OpenAIChatAgent
    from hud_openai.config import ChatConfig as ChatConfig

_HOMES = {"OpenAIChatAgent": "chat", "ChatConfig": "config"}


def _load() -> Callable[..., Agent]:
    from hud_openai.chat import OpenAIChatAgent

    return OpenAIChatAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide the agents; with OPENAI_BASE_URL set, the endpoint there is tried for every model no other agent runs."""
    from hud_core.settings import settings

    models = ("*",) if settings.openai_base_url else ()
    yield Provider("openai_compatible", _load, "any model behind a chat-completions API (vLLM, Ollama, ...)", models)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
