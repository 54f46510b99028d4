"""The computer-use agent for OpenAI's models; it lives in hud-openai."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_openai", "hud-openai")
