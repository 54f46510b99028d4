"""The agents for OpenAI's models; they live in hud-openai."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_openai", "hud-openai")
