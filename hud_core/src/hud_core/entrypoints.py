"""Entry points of installed distributions, read from their ``.dist-info`` folders.

`importlib.metadata` gives the same, and costs 33 ms of CPU to import: more than half of what ``hud --help`` may take.
The folder's layout is PyPA's "Recording installed projects" and "Entry points" specifications; ``.egg-info`` folders,
which older tools leave for a project that is developed in place, are laid out alike.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = (".dist-info", ".egg-info")


class EntryPoint(NamedTuple):
    """One line of an ``entry_points.txt``, and the distribution that it belongs to."""

    name: str
    value: str
    distribution: str
    version: str

    @property
    def source(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}"


def entry_points(group: str, path: list[str] | None = None) -> list[EntryPoint]:
    """Find the entry points of a group, sorted; of two copies of a distribution the first on the path counts."""
    found: list[EntryPoint] = []
    for info in _distributions(path):
        if pairs := list(_read(info, group)):
            identity = _identity(info)
            found += [EntryPoint(*pair, *identity) for pair in pairs]
    return sorted(found)


def installed_version(distribution: str, path: list[str] | None = None) -> str:
    """Give the version of an installed distribution, or ``""`` when it is not installed."""
    wanted = normalise(distribution)
    return next((_identity(info)[1] for info in _distributions(path) if _key(info) == wanted), "")


@functools.cache
def own_version() -> str:
    """Give the version of hud-core, which stays the same while it runs; looking it up takes 0.3 ms."""
    return installed_version("hud-core")


def normalise(name: str) -> str:
    """Give a distribution's name as the index compares it: ``Foo.Bar_baz`` is ``foo-bar-baz``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _distributions(path: list[str] | None) -> Iterator[str]:
    """Give the folders that describe installed distributions, each distribution once."""
    seen: set[str] = set()
    for folder in sys.path if path is None else path:
        for info in _info_folders(folder or "."):
            key = _key(info)
            if key not in seen:
                seen.add(key)
                yield info


def _info_folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.name.endswith(_SUFFIXES))
    except OSError:
        return []  # not a folder: a zip file, or gone


def _key(info: str) -> str:
    return normalise(_stem(info).partition("-")[0])


def _stem(info: str) -> str:
    return os.path.basename(info).rpartition(".")[0]  # noqa: PTH119  importing pathlib costs what this module saves


def _read(info: str, group: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, _lines(f"{info}/entry_points.txt")):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.split("[")[0].strip()


def _identity(info: str) -> tuple[str, str]:
    """Read name and version as the distribution itself writes them; its folder's name is a normalised form."""
    name, _, version = _stem(info).partition("-")
    known = {"name": name.replace("_", "-"), "version": version or "of unknown version"}
    for line in _lines(f"{info}/METADATA") or _lines(f"{info}/PKG-INFO"):
        key, colon, value = line.partition(":")
        if not colon:
            break  # an empty line: the description begins
        if key.lower() in known:
            known[key.lower()] = value.strip()
    return known["name"], known["version"]


def _lines(file: str) -> list[str]:
    """Read a file that may be missing, or be no text: another distribution's fault must not stop this one."""
    try:
        with open(file, encoding="utf-8", errors="replace") as text:  # noqa: PTH123  as above
            return text.read().splitlines()
    except OSError:
        return []
