"""``hud push``: brings an environment's image to a registry, and says so in the lock file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_docker.commands.asking import agreed
from hud_mcp.commands.console import emit, plain, say

if TYPE_CHECKING:
    import argparse

    from hud_docker.building.lock import Lock
    from hud_docker.building.pushing import Pushed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("directory", nargs="?", default=".", metavar="DIR", help="where hud.lock.yaml is (default: here)")
    add("-i", "--image", metavar="NAME[:TAG]", help="what the registry calls it, as registry.example.com/team/my-env")
    add("-t", "--tag", metavar="TAG", help="its tag there (default: the version that was built)")
    add("-y", "--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0, or 1 when the person asked says no.

    Raises:
        ConfigError: Nothing was built, or nothing says where to push.
        PushError: The registry does not take it.
        EngineError: No engine answers, or it failed.
    """
    import anyio

    from hud_docker.building.lock import read_lock

    directory = Path(arguments.directory)
    lock = read_lock(directory)
    if lock is None or not lock.image:
        raise ConfigError(f"no lock file in {directory} names an image; run `hud build` first")
    _warn_if_outdated(directory, lock)
    return anyio.run(_push, lock, arguments)


def _warn_if_outdated(directory: Path, lock: Lock) -> None:
    from hud_docker.building.context import Context, find_dockerfile

    dockerfile = find_dockerfile(directory)
    if dockerfile and not lock.compared(Context(directory, dockerfile).digests()).is_current:
        say(f"warning: files differ from those of version {lock.version}, which is pushed; see `hud build --check`")


async def _push(lock: Lock, arguments: argparse.Namespace) -> int:
    from hud_docker.building.lock import write_lock
    from hud_docker.building.names import split_image
    from hud_docker.building.pushing import push, target_of, with_push
    from hud_docker.engine import Engine

    source = ":".join(filter(None, split_image(lock.image or "", f"{lock.path}: images.local")))
    engine = await Engine.connect()
    try:
        name, tag = target_of(lock, arguments.image, arguments.tag)
        if not (arguments.yes or agreed(f"push {source} to {name}:{tag}?", unasked=True)):
            say("not pushed")
            return 1
        say(f"pushing {source} to {name}:{tag}")
        pushed = await push(engine, source, name, tag, lambda line: say(f"  {line}"))
    finally:
        await engine.aclose()
    write_lock(with_push(lock, source, pushed))
    _show(pushed, is_json=arguments.json)
    return 0


def _show(pushed: Pushed, *, is_json: bool) -> None:
    if is_json:
        emit(json.dumps({"image": pushed.image, "digest": pushed.digest}, indent=2))
    else:
        emit(plain(f"pushed {pushed.image}@{pushed.digest}"))
