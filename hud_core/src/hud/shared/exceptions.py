"""The exceptions, under the names that code written for the reference SDK catches."""

from __future__ import annotations

from hud_core.errors import ConfigError as HudConfigError
from hud_core.errors import HudError as HudException

HudEnvVarError = HudConfigError

__all__ = ["HudConfigError", "HudEnvVarError", "HudException"]
