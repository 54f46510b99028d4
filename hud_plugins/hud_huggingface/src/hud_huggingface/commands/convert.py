"""``hud convert``: write old task files (LegacyTask rows) as ``tasks.py``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.environment.references import bare_urls
from hud_core.errors import ConfigError
from hud_core.files import write_whole
from hud_huggingface.convert import CORRECTED, converted
from hud_huggingface.legacy import LegacyTaskWarning
from hud_huggingface.loading import load_tasks

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("source", help="a task file (JSON, JSONL, CSV, Parquet), a folder of them, or a dataset")
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="the file to write (standard output)")
    parser.add_argument("-f", "--force", action="store_true", help="write over a file that is there")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ConfigError: There is nothing to convert, or the file is there already.
        TaskDataError: Rows are wrong; all of them are named, and nothing is written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", LegacyTaskWarning)  # the file that is written says what was corrected
        tasks = load_tasks(arguments.source)
    text = converted(tasks, Path(bare_urls(arguments.source)).name)
    if arguments.output == "-":
        sys.stdout.write(text)
        return 0
    path = Path(arguments.output)
    if path.suffix != ".py":
        raise ConfigError(f"convert writes Python: --output must end in .py, got {arguments.output!r}")
    if path.exists() and not arguments.force:
        raise ConfigError(f"{arguments.output} is there already; --force writes over it")
    write_whole(path, text.encode())
    corrected = "; what was corrected in rows is said at its top" if CORRECTED in text else ""
    sys.stderr.write(f"wrote {arguments.output}{corrected}; try it: hud eval {arguments.output}\n")
    return 0
