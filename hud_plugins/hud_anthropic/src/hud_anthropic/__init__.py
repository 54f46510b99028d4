"""Agents on the Anthropic API for hud-core."""

from __future__ import annotations
