"""``hud build``: makes the image of an environment, and the lock file that says what is in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError, HudError
from hud_core.settings import is_secret
from hud_docker.commands.asking import agreed
from hud_mcp.commands.console import emit, plain, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from hud_docker.building.lock import Comparison
    from hud_docker.building.making import Built, Talk, Wish

BUMPS = ("patch", "minor", "major")
LAST_LINES = 20
"""How many files of a kind are named when the lock file is checked."""
_DIGEST = re.compile(r"#\d+ sha256:")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("directory", nargs="?", default=".", metavar="DIR", help="where the Dockerfile is (default: here)")
    add("-f", "--file", metavar="FILE", help="another Dockerfile in DIR than Dockerfile.hud or Dockerfile")
    add(
        "-t", "--tag", action="append", default=[], metavar="NAME[:TAG]", help="one more name for the image; repeatable"
    )
    add("--no-cache", action="store_true", help="use no layers of earlier builds")
    add("--pull", action="store_true", help="look for a newer base image")
    add("--build-arg", action="append", default=[], metavar="KEY[=VALUE]", help="set an ARG; repeatable")
    add("--secret", action="append", default=[], metavar="id=NAME,env=VAR|src=FILE",
        help="what RUN --mount=type=secret may read; repeatable; needs BuildKit")  # fmt: skip
    add("--platform", metavar="OS/ARCH", help="build for another platform than the engine's")
    add("-e", "--env", action="append", default=[], metavar="KEY[=VALUE]",
        help="a variable for the server while it is looked into; repeatable")  # fmt: skip
    add("--bump", choices=BUMPS, default=BUMPS[0], help="which part of the version to count up (default: patch)")
    add("--check", action="store_true", help="build nothing: say whether the lock file fits the files, or exit with 1")
    add("-y", "--yes", action="store_true", help="write a Dockerfile where there is none, without asking")
    add("-v", "--verbose", action="store_true", help="print all that the builder and the server print")
    add("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0; with ``--check``, 1 when the files are no longer those that were built.

    Raises:
        ConfigError: There is no such directory or Dockerfile, or an argument cannot be right.
        BuildError: A step of the Dockerfile failed.
        BackendError: The server in the image does not start, or does not answer.
        EngineError: No engine answers, or it failed.
    """
    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {arguments.directory!r}")
    if arguments.check:
        return _check(directory, _dockerfile(directory, arguments), is_json=arguments.json)
    import anyio

    return anyio.run(_build, _wish(directory, arguments), arguments)


def _dockerfile(directory: Path, arguments: argparse.Namespace) -> str:
    """Find the Dockerfile, relative to the directory.

    Raises:
        ConfigError: There is none, or it is elsewhere.
    """
    from hud_docker.building.context import find_dockerfile

    if arguments.file is None:
        return find_dockerfile(directory) or _written_dockerfile(directory, arguments)
    path = directory / arguments.file if (directory / arguments.file).is_file() else Path(arguments.file)
    if not path.is_file():
        raise ConfigError(f"--file: there is no {arguments.file!r} in {directory}")
    name = os.path.relpath(path, directory)
    if name.startswith(os.pardir):
        raise ConfigError(f"--file {arguments.file!r} is outside of {directory}; move it there")
    return Path(name).as_posix()


def _written_dockerfile(directory: Path, arguments: argparse.Namespace) -> str:
    """Write a Dockerfile for a directory that has an env.py alone, if somebody agrees.

    Raises:
        ConfigError: There is no env.py, or nobody agreed.
    """
    from hud_docker.building.template import DOCKERFILE, write_dockerfile

    nothing = f"no Dockerfile.hud and no Dockerfile in {directory.resolve()}"
    if not (directory / "env.py").is_file():
        raise ConfigError(f"{nothing}, nor an env.py to write one for; `hud init` writes a whole example")
    question = f"{nothing}. Write {DOCKERFILE}, which serves env.py?"
    if arguments.check or not (arguments.yes or agreed(question, unasked=False)):
        raise ConfigError(f"{nothing}; `hud build --yes` writes {DOCKERFILE}, which serves env.py")
    write_dockerfile(directory)
    say(f"wrote {directory / DOCKERFILE}")
    return DOCKERFILE


def _wish(directory: Path, arguments: argparse.Namespace) -> Wish:
    from hud_docker.building.making import Wish
    from hud_docker.building.names import split_image
    from hud_docker.building.request import BuildRequest
    from hud_docker.building.secrets import parse_secret

    for tag in arguments.tag:
        split_image(tag, "--tag")
    request = BuildRequest(
        directory=directory,
        dockerfile=_dockerfile(directory, arguments),
        tag="",
        build_args=_build_args(arguments.build_arg),
        secrets=[parse_secret(text) for text in arguments.secret],
        platform=arguments.platform,
        use_cache=not arguments.no_cache,
        pull=arguments.pull,
    )
    return Wish(request=request, tags=arguments.tag, env=_variables(arguments.env), bump=arguments.bump)


def _build_args(texts: Iterable[str]) -> dict[str, str | None]:
    found = dict(_pair(text, "--build-arg") for text in texts)
    for name in found:
        if is_secret(name):
            say(f"warning: --build-arg {name}: its value can be read in the image's history; use --secret id={name}")
    return found


def _variables(texts: Iterable[str]) -> dict[str, str]:
    """Read ``-e``; a name alone takes the value that this process has, so that it stands on no command line."""
    found = {}
    for name, value in (_pair(text, "--env") for text in texts):
        if value is None and name not in os.environ:
            raise ConfigError(f"--env {name}: the variable is not set; export it, or give --env {name}=VALUE")
        found[name] = f"${{{name}}}" if value is None else value
    return found


def _pair(text: str, option: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise ConfigError(f"{option} takes KEY=VALUE, or KEY alone for this process's own value")
    return name, value if equals else None


# --- building ---------------------------------------------------------------------------------------------------------


async def _build(wish: Wish, arguments: argparse.Namespace) -> int:
    from hud_docker.building.making import Making
    from hud_docker.engine import Engine

    engine = await Engine.connect()
    try:
        built = await Making(engine, wish, _talk(is_verbose=arguments.verbose)).run()
    finally:
        await engine.aclose()
    if arguments.json:
        emit(json.dumps(_data(built), indent=2))
    else:
        say()
        emit(plain("\n".join(_summary(built))))
    _tell_of_pins(wish.request.directory, built.image)
    return 0


def _talk(*, is_verbose: bool) -> Talk:
    from hud_docker.building.making import Talk

    def quiet(line: str) -> None:
        """Leave a line out."""

    return Talk(say=say, output=_say_output, detail=_say_output if is_verbose else quiet)


def _say_output(line: str) -> None:
    """Print what a builder or a server prints; the digests of BuildKit's steps tell nobody anything."""
    line = line.rstrip("\r").rpartition("\r")[2]  # what a bar of progress has come to
    if line.strip() and not _DIGEST.match(line):
        say(f"  {line}")


def _data(built: Built) -> dict[str, Any]:
    data = built.lock.data
    return {
        "image": built.image,
        "id": built.id,
        "tags": built.tags,
        "version": data["build"]["version"],
        "builder": built.builder,
        "lock": str(built.lock.path),
        "tools": [tool["name"] for tool in data["tools"]],
        "scenarios": [scenario["id"] for scenario in data["scenarios"]],
        "initializeMs": data["environment"]["initializeMs"],
        "variables": {"required": built.lock.required, "optional": built.lock.optional},
    }


def _summary(built: Built) -> Iterable[str]:
    data = built.lock.data
    yield f"built {built.image}, also called {', '.join(built.tags)}"
    yield f"  image      {built.id}"
    yield f"  tools      {', '.join(tool['name'] for tool in data['tools']) or 'none'}"
    yield f"  scenarios  {', '.join(scenario['id'] for scenario in data['scenarios']) or 'none'}"
    if built.lock.required:
        yield f"  needs      {', '.join(built.lock.required)}"
    yield f"  lock       {built.lock.path}"


def _tell_of_pins(directory: Path, image: str) -> None:
    """Name task files that run an older version: which one a task is for is their author's to decide."""
    name, _, version = image.rpartition(":")
    pinned = re.compile(rf'"(?:[^"\s]*/)?{re.escape(name)}:(\d+\.\d+\.\d+)"')
    for path in sorted([*directory.glob("*.json"), *directory.glob("*.jsonl")]):
        try:
            found = sorted({*pinned.findall(path.read_text("utf-8"))} - {version})
        except (OSError, UnicodeDecodeError):
            continue  # no task file, then
        if found:
            say(f"note: {path.name} still runs version {', '.join(found)}; write {version} there, or latest")


# --- checking ---------------------------------------------------------------------------------------------------------


def _check(directory: Path, dockerfile: str, *, is_json: bool) -> int:
    from hud_docker.building.context import LOCK_NAME, Context
    from hud_docker.building.lock import read_lock

    lock = read_lock(directory)
    if lock is None:
        raise HudError(f"{directory / LOCK_NAME} is not there; `hud build` writes it")
    found = lock.compared(Context(directory, dockerfile).digests())
    if is_json:
        kept = {"changed": found.changed, "added": found.added, "removed": found.removed}
        emit(json.dumps({"current": found.is_current, "version": lock.version, **kept}, indent=2))
    else:
        emit(plain("\n".join(_comparison(found, lock.version))))
    return 0 if found.is_current else 1


def _comparison(found: Comparison, version: str | None) -> Iterable[str]:
    if found.is_current:
        yield f"current: the files are those of version {version}"
        return
    if not found.is_comparable:
        yield "not current: another tool wrote the lock file, and its hash leaves files out; run `hud build`"
        return
    yield f"not current: files differ from those of version {version}; run `hud build`"
    if found.counts is not None:
        yield f"  {found.counts[0]} files then, {found.counts[1]} now"
    for what, paths in (("changed", found.changed), ("added", found.added), ("removed", found.removed)):
        shown = paths[:LAST_LINES]
        yield from (f"  {what:7}  {path}" for path in shown)
        if len(paths) > len(shown):
            yield f"  {what:7}  and {len(paths) - len(shown)} more"
