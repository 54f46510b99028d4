"""``hud eval``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from hud.cli.evaluate.options import add_arguments

    add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run a job, or go on with one."""
    from hud.cli.evaluate.command import evaluate

    return evaluate(arguments)
