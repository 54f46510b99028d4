"""What a Dockerfile does with a file: whether it only copies it, or may make something of it."""

from __future__ import annotations

import json
import shlex
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_docker.building.dockerfile import Dockerfile


def feeds_a_step(dockerfile: Dockerfile, path: str) -> bool:
    """Whether a command runs in the stage that a file is copied into, once it is there.

    Args:
        dockerfile: The Dockerfile.
        path: The file, relative to the build context, with slashes.
    """
    for stage in dockerfile.stages:
        is_there = False
        for instruction in stage.instructions:
            if instruction.keyword in ("COPY", "ADD"):
                is_there = is_there or _takes(instruction.value, path)
            elif instruction.keyword == "RUN" and is_there:
                return True
    return False


def _takes(value: str, path: str) -> bool:
    words = _words(value)
    if any(word.startswith("--from") for word in words):
        return False
    sources = [word for word in words if not word.startswith("--")][:-1]
    return any(_covers(source.removeprefix("/").removeprefix("./").rstrip("/"), path) for source in sources)


def _words(value: str) -> list[str]:
    flags, bracket, rest = value.partition("[")
    try:
        if bracket and all(word.startswith("--") for word in flags.split()):
            return [*flags.split(), *map(str, json.loads(bracket + rest))]
        return shlex.split(value)
    except ValueError:
        return value.split()


def _covers(source: str, path: str) -> bool:
    """Whether a source of COPY is a file, or a folder that it is in; names may be patterns."""
    if source in ("", "."):
        return True
    return any(fnmatchcase(str(place), source) for place in (PurePosixPath(path), *PurePosixPath(path).parents))
