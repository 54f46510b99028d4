"""The agent for Gemini; it lives in hud-gemini."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_gemini", "hud-gemini")
