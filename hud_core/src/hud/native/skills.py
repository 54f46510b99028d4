"""Skills for agents; they live in hud-tools."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_tools.skills", "hud-tools")
