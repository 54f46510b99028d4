"""Ready-made tools; they live in hud-tools. The types of results are in `hud.tools.types`."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_tools", "hud-tools")
