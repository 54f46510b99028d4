"""Datasets and LegacyTask for hud-core: load, save and run rows from the HuggingFace Hub and from files."""

from __future__ import annotations
