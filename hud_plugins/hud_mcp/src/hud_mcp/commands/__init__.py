"""The commands ``hud dev``, ``hud scenario`` and ``hud analyze``."""
