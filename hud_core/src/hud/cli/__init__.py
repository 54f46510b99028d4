"""The ``hud`` command: a thin host. Each subcommand, the built-in ones included, comes from a plugin."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hud`` with these arguments, by default those of the process, and give the exit code."""
    # The process is ours: looking for garbage among what start-up makes, all of which stays, costs a tenth of it.
    gc.set_threshold(50_000)
    from hud.cli.host import run

    code = run(argv)
    # Else the interpreter looks through all that was imported, again and again, before it ends: a tenth of a short job.
    gc.freeze()
    return code


__all__ = ["main"]
