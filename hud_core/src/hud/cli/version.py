"""``hud version``."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

from hud.cli.console import emit
from hud.cli.exits import Exit
from hud_core.entrypoints import installed_version

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, with the versions of Python and the plugins")


def run(arguments: argparse.Namespace) -> int:
    """Print the version."""
    version = installed_version("hud-core")
    if not arguments.json:
        emit(f"hud {version}")
        return Exit.OK
    plugins = dict(plugin.source.rpartition(" ")[::2] for plugin in arguments.kernel.plugins)
    emit(json.dumps({"hud": version, "python": platform.python_version(), "plugins": plugins}, indent=2))
    return Exit.OK
