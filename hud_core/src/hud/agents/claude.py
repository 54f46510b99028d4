"""The agent for Claude; it lives in hud-anthropic."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_anthropic", "hud-anthropic")
