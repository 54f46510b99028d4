"""Chat services; they live in hud-platform."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_platform.chat", "hud-platform")
