"""Ready-made graders for hud-core: text, shell, model judges, and graders that task rows name."""

from __future__ import annotations
