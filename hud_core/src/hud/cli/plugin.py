"""The built-in commands, as a plugin like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def hud_commands() -> Iterator[Command]:
    """Provide ``hud eval`` and the commands that look at its runs and at the installation."""
    yield Command.from_module("cache", "show or clear the answers of models that were kept", "hud.cli.cache")
    yield Command.from_module("compare", "tell whether one run is better than another, or chance", "hud.cli.compare")
    yield Command.from_module("completion", "print a completion script for bash, zsh or fish", "hud.cli.completion")
    yield Command.from_module("eval", "run an agent on tasks, and score it", "hud.cli.evaluate")
    yield Command.from_module("plugins", "list what is installed, and what is broken", "hud.cli.plugins")
    yield Command.from_module(
        "regrade", "score the answers of a run again, with graders that changed", "hud.cli.regrade"
    )
    yield Command.from_module("runs", "list, show and export past jobs", "hud.cli.runs")
    yield Command.from_module("trace", "print one rollout as a readable conversation", "hud.cli.trace")
    yield Command.from_module("version", "print the version", "hud.cli.version")
