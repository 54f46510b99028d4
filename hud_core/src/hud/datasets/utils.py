"""Stopping jobs that run elsewhere; it lives in hud-huggingface."""

from __future__ import annotations

from hud._lazy import of_plugin

__getattr__ = of_plugin(__name__, "hud_huggingface.cancelling", "hud-huggingface")
