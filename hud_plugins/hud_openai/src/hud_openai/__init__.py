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
    from hud_openai.responses.agent import OpenAIAgent as OpenAIAgent
    from hud_openai.responses.config import OpenAIConfig as OpenAIConfig
    from hud_openai.responses.config import OperatorConfig as OperatorConfig
    from hud_openai.responses.operator import OperatorAgent as OperatorAgent

_HOMES = {
    "OpenAIChatAgent": "chat",
    "ChatConfig": "config",
    "OpenAIAgent": "responses.agent",
    "OpenAIConfig": "responses.config",
    "OperatorAgent": "responses.operator",
    "OperatorConfig": "responses.config",
}
OPENAI_MODELS = ("gpt-*", "o1*", "o3*", "o4*", "codex-*", "chatgpt-*")


def _openai() -> Callable[..., Agent]:
    from hud_openai.responses.agent import OpenAIAgent

    return OpenAIAgent


def _operator() -> Callable[..., Agent]:
    from hud_openai.responses.operator import OperatorAgent

    return OperatorAgent


def _chat() -> Callable[..., Agent]:
    from hud_openai.chat import OpenAIChatAgent

    return OpenAIChatAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide the agents; with OPENAI_BASE_URL set, the endpoint there is tried for every model no other agent runs."""
    from hud_core.settings import settings

    yield Provider("openai", _openai, "OpenAI's models, on the Responses API", OPENAI_MODELS)
    yield Provider("operator", _operator, "OpenAI's computer-use model", ("computer-use-*",))
    anywhere = ("*", "gpt-oss*") if settings.openai_base_url else ()  # gpt-oss is nothing that OpenAI itself runs
    yield Provider("openai_compatible", _chat, "any model behind a chat-completions API (vLLM, Ollama, ...)", anywhere)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
