"""``hud cache``: the answers of models that ``hud eval --cache`` keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hud.cli.console import emit
from hud.cli.exits import Exit

if TYPE_CHECKING:
    import argparse

    from hud_core.metering.cache import CallCache

MEGABYTE = 1_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", nargs="?", choices=("show", "clear"), default="show", help="show by default")
    parser.add_argument("--folder", metavar="DIR", help="the cache's folder (.hud/cache)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Say how large the cache is, or forget everything in it."""
    from hud_core.metering.cache import CACHE, CallCache

    cache = CallCache(Path(arguments.folder) if arguments.folder else CACHE)
    count, size = _clear(cache) if arguments.action == "clear" else _measure(cache)
    if arguments.json:
        emit(json.dumps({"folder": str(cache.folder), "answers": count, "bytes": size}, indent=2))
    else:
        done = "forgotten: " if arguments.action == "clear" else ""
        emit(f"{done}{count:,} answers, {size / MEGABYTE:.1f} MB in {cache.folder}")
    return Exit.OK


def _measure(cache: CallCache) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in cache.files()]
    return len(sizes), sum(sizes)


def _clear(cache: CallCache) -> tuple[int, int]:
    """Delete the files of the cache, and nothing else that may be in its folder."""
    found = _measure(cache)
    for path in list(cache.files()):
        path.unlink(missing_ok=True)
    return found
