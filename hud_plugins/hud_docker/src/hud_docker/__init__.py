"""Environments in Docker containers for hud-core: build, debug, run, and leave nothing behind."""

from __future__ import annotations
