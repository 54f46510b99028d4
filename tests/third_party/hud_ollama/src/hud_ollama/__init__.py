"""Models that run in Ollama, as agents."""

from __future__ import annotations

from importlib import import_module

from hud_core import Provider, hookimpl


@hookimpl
def hud_agents():
    yield Provider(
        "ollama", lambda: import_module("hud_ollama.agent").OllamaAgent, "models that run in Ollama", ("llama*",)
    )
