"""``hud.lock.yaml``: what an image was built from, what was found in it, and where it was pushed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import attrs

from hud_core.errors import ConfigError
from hud_core.files import write_whole
from hud_docker.building.context import LOCK_NAME

FORMAT = "1.3"
"""The version of the format: the last that other readers of such files know."""
MOST_FILES = 1000
"""How many source files are listed with their digests; beyond, the lock only counts them."""
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")


@attrs.frozen
class Lock:
    """A lock file, of this or of an older format. Only what is asked for is looked at; the rest is kept as it is.

    Args:
        path: Where it is.
        data: What it holds.
        head: The comment that it begins with.
    """

    path: Path
    data: Mapping[str, Any]
    head: str = ""

    def part(self, *names: str) -> Mapping[str, Any]:
        """Give a mapping inside; an empty one where there is none."""
        found: Any = self.data
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @property
    def image(self) -> str | None:
        """The image as it is called on the machine that built it; formats before 1.1 have one name only."""
        named = self.part("images").get("local") or self.part("push").get("source") or self.data.get("image")
        return str(named) if named else None

    @property
    def pushed(self) -> str | None:
        """The image as a registry calls it."""
        named = self.part("images").get("pushed")
        return str(named) if named else None

    @property
    def version(self) -> str | None:
        """The version that was built."""
        named = self.part("build").get("version")
        return None if named is None else str(named)

    @property
    def required(self) -> list[str]:
        """The variables that the environment needs."""
        return _names(self.part("environment", "variables").get("required"))

    @property
    def optional(self) -> list[str]:
        """The variables that it can do without."""
        return _names(self.part("environment", "variables").get("optional"))

    def compared(self, digests: Mapping[str, str]) -> Comparison:
        """Compare what was built with the files as they are.

        Args:
            digests: The digest of each file, as `Context.digests` gives them.
        """
        build = self.part("build")
        listed, count = build.get("sourceDigests"), build.get("sourceCount")
        if count is None:
            return Comparison(is_comparable=False)
        if not isinstance(listed, Mapping):
            from hud_docker.building.context import source_hash

            is_same = build.get("sourceHash") == source_hash(digests)
            return Comparison() if is_same else Comparison(counts=(int(count), len(digests)))
        now = {path: short(digest) for path, digest in digests.items()}
        return Comparison(
            changed=sorted(path for path in now.keys() & listed.keys() if now[path] != str(listed[path])),
            added=sorted(now.keys() - listed.keys()),
            removed=sorted(map(str, listed.keys() - now.keys())),
        )


@attrs.frozen(kw_only=True)
class Comparison:
    """How files differ from those that an image was built from."""

    changed: list[str] = attrs.Factory(list)
    added: list[str] = attrs.Factory(list)
    removed: list[str] = attrs.Factory(list)
    counts: tuple[int, int] | None = None
    """How many files there were and are, where there are too many to be listed and some differ."""
    is_comparable: bool = True
    """False for the lock of another tool: its hash says nothing about our files."""

    @property
    def is_current(self) -> bool:
        """Whether they are the same."""
        return self.is_comparable and self.counts is None and not (self.changed or self.added or self.removed)


def read_lock(directory: Path) -> Lock | None:
    """Read a directory's lock file; None where there is none.

    Raises:
        ConfigError: It cannot be read, or is no lock file.
    """
    import yaml

    path = directory / LOCK_NAME
    try:
        text = path.read_text("utf-8")
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  a safe loader, in C
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        msg = f"cannot read {path}: {said}; mend it, or remove it and run `hud build`"
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is no lock file: it holds {type(data).__name__}; remove it and run `hud build`")
    head = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    return Lock(path, data, head)


def write_lock(lock: Lock) -> None:
    """Write a lock file, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    import yaml

    plain = json.loads(json.dumps(lock.data))  # no anchors: what occurs twice is written twice
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    write_whole(lock.path, (lock.head + text).encode("utf-8", "surrogateescape"))


def manifest_head(data: Mapping[str, Any]) -> str:
    """Hash a lock's content for the image's label ``org.hud.manifest.head``.

    It is the SHA-256 of the canonical JSON, a colon, and the number of its bytes. ``images`` and ``push`` are left out:
    they name the image that carries the label, and change when it is pushed.
    """
    kept = {name: value for name, value in data.items() if name not in {"images", "push"}}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(text).hexdigest()}:{len(text)}"


def next_version(version: str | None, bump: str = "patch") -> str:
    """Count a version up by one ``patch``, ``minor`` or ``major``; the first is 0.1.0.

    Raises:
        ConfigError: It has another form than 1.2.3.
    """
    if version is None:
        return "0.1.0"
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ConfigError(f"{LOCK_NAME}: build.version {version!r} must have the form 1.2.3; correct it there")
    major, minor, patch = (int(part or 0) for part in match.groups())
    return {"major": f"{major + 1}.0.0", "minor": f"{major}.{minor + 1}.0"}.get(bump, f"{major}.{minor}.{patch + 1}")


def now() -> str:
    """Give the time, to the second, as ISO 8601 has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(digest: str) -> str:
    """Shorten a file's digest to what tells changes apart."""
    return digest[:16]


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
