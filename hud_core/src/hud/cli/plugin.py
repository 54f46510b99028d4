"""The built-in commands, as a plugin like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


@hookimpl
def hud_commands() -> Iterator[Command]:
    """Provide ``hud eval`` and the commands that look at its runs and at the installation."""
    yield _command("completion", "print a completion script for bash, zsh or fish", "hud.cli.completion")
    yield _command("eval", "run an agent on tasks, and score it", "hud.cli.evaluate")
    yield _command("plugins", "list what is installed, and what is broken", "hud.cli.plugins")
    yield _command("runs", "list, show and export past jobs", "hud.cli.runs")
    yield _command("trace", "print one rollout as a readable conversation", "hud.cli.trace")
    yield _command("version", "print the version", "hud.cli.version")


def _command(name: str, summary: str, module: str) -> Command:
    """Make a command out of a module's ``configure`` and ``run``, imported when the command is used."""

    def configure(parser: argparse.ArgumentParser) -> None:
        _load(module, "configure")(parser)

    def run(arguments: argparse.Namespace) -> int:
        code: int = _load(module, "run")(arguments)
        return code

    return Command(name, summary, configure, run)


def _load(module: str, name: str) -> Callable[..., Any]:
    import importlib

    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
