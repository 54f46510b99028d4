"""Settings of this process."""

from __future__ import annotations

from hud_core.settings import Settings, get_settings, settings

__all__ = ["Settings", "get_settings", "settings"]
