"""The commands of this plugin."""

from __future__ import annotations
