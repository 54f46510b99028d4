"""What a Dockerfile does with a file: whether it only copies it, or may make something of it."""

from __future__ import annotations

import json
import posixpath
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
            elif instruction.keyword == "RUN" and (is_there or _binds(instruction.value, path)):
                return True
    return False


def is_used(dockerfile: Dockerfile, path: str) -> bool:
    """Whether an instruction copies a file of the build context, or mounts it for a step.

    Args:
        dockerfile: The Dockerfile.
        path: The file, relative to the build context, with slashes.
    """
    instructions = [instruction for stage in dockerfile.stages for instruction in stage.instructions]
    return any(
        (one.keyword in ("COPY", "ADD") and _takes(one.value, path))
        or (one.keyword == "RUN" and _binds(one.value, path))
        for one in instructions
    )


def are_copied_together(dockerfile: Dockerfile, *paths: str) -> bool:
    """Whether one instruction copies all of some files.

    Args:
        dockerfile: The Dockerfile.
        paths: The files, relative to the build context, with slashes.
    """
    return any(
        all(_takes(instruction.value, path) for path in paths)
        for stage in dockerfile.stages
        for instruction in stage.instructions
        if instruction.keyword in ("COPY", "ADD")
    )


def _takes(value: str, path: str) -> bool:
    words = _words(value)
    if any(word.startswith("--from") for word in words):
        return False
    sources = [word for word in words if not word.startswith("--")][:-1]
    return any(_covers(source, path) for source in sources)


def _binds(value: str, path: str) -> bool:
    """Whether ``RUN`` mounts a file of the build context."""
    for word in _words(value):
        if not word.startswith("--mount="):
            continue
        given = dict(part.partition("=")[::2] for part in word.removeprefix("--mount=").split(","))
        is_ours = given.get("type", "bind") == "bind" and "from" not in given
        if is_ours and _covers(given.get("source") or given.get("src") or ".", path):
            return True
    return False


def _words(value: str) -> list[str]:
    flags, bracket, rest = value.partition("[")
    try:
        if bracket and all(word.startswith("--") for word in flags.split()):
            return [*flags.split(), *map(str, json.loads(bracket + rest))]
        return shlex.split(value)
    except ValueError:
        return value.split()


def _covers(source: str, path: str) -> bool:
    """Whether a source of COPY is a file, or a folder that it is in. It may be a pattern; a variable may be either."""
    source = posixpath.normpath(source.lstrip("/"))
    if source == "." or "$" in source:
        return True
    return any(fnmatchcase(str(place), source) for place in (PurePosixPath(path), *PurePosixPath(path).parents))
