"""hud-huggingface keeps the contract that every plugin keeps."""

from __future__ import annotations

from hud_core.testing import PluginContract


class TestPlugin(PluginContract):
    plugin = "hud_huggingface"
    distribution = "hud-huggingface"
