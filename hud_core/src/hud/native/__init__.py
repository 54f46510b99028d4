"""Native graders; they live in hud-graders."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_graders", "hud-graders")
