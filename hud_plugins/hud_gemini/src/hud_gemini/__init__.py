"""Agents on the Gemini API for hud-core."""

from __future__ import annotations
