"""``hud init``: writes a small whole environment, to be changed into one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_core.files import write_whole
from hud_mcp.commands.console import emit, plain, say

if TYPE_CHECKING:
    import argparse

_KEPT = ("README.md", ".dockerignore")
"""Files that are left as they are where there are some; the others belong together."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("name", nargs="?", help="the environment's name, and that of a new folder (default: write here)")
    add("-d", "--dir", default=".", metavar="DIR", help="where the folder is made, or the files without a NAME")
    add("-f", "--force", action="store_true", help="overwrite files that are there")
    add("-p", "--preset", metavar="NAME", help="hud-python's templates from the network; there are none here")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ConfigError: The name cannot be one, a file is there already, or a preset was asked for.
        OSError: A file cannot be written.
    """
    from hud_docker.building.template import example

    if arguments.preset is not None:
        msg = f"--preset {arguments.preset}: presets come from a network that this command does not use; leave it out"
        raise ConfigError(f"{msg} for an example to start from, or clone the preset's repository with git")
    directory = Path(arguments.dir) / (arguments.name or "")
    texts = example(_name(arguments.name or directory.resolve().name))
    present = [file for file in texts if (directory / file).exists()]
    if not arguments.force and (taken := [file for file in present if file not in _KEPT]):
        raise ConfigError(
            f"{directory} has {', '.join(taken)} already; name another folder, or --force overwrites them"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        if file in present and not arguments.force:
            say(f"kept {directory / file}")
            continue
        write_whole(directory / file, text.encode())
        emit(plain(str(directory / file)))
    say(_next(directory))
    return 0


def _name(text: str) -> str:
    """Make a name that an environment, a project and an image can have."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name:
        raise ConfigError(f"{text!r} is no name for an environment; use letters and digits, as in my-env")
    return name


def _next(directory: Path) -> str:
    first = "" if directory.resolve() == Path.cwd() else f"  cd {directory}\n"
    return (
        f"\nnext:\n{first}"
        "  hud check tasks.py                 is every task solvable?\n"
        "  hud eval tasks.py oracle --full    run them with their known solutions\n"
        "  hud build .                        make the image"
    )
