"""The ``hud`` command: a thin host. Each subcommand, the built-in ones included, comes from a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hud`` with these arguments, by default those of the process, and give the exit code."""
    from hud.cli.host import run

    return run(argv)


__all__ = ["main"]
