"""Loading, saving and running tasksets; they live in hud-huggingface."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_huggingface", "hud-huggingface")
