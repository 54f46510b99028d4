"""Environments in Docker containers for hud-core: build, debug, run, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["hud_commands"]


@hookimpl
def hud_commands() -> Iterable[Command]:
    """Provide the commands that build and check images, and that remove what was left on an engine."""
    yield Command.from_module("gc", "remove what clients that are gone left on the engine", "hud_docker.commands.gc")
