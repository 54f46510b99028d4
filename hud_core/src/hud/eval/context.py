"""`EvalContext`, where code written for the reference SDK looks for it."""

from __future__ import annotations

from hud_core import EvalContext

__all__ = ["EvalContext"]
