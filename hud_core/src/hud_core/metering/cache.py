"""Answers of models, kept in files, so that the same question need not be paid for twice.

::

    .hud/cache/
        3f/3f9a….json     one answer: a line with the digest of what follows, then JSON

A file is written beside its place and then moved there, so any number of processes may use one folder. One that is
damaged is no answer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.files import write_whole
from hud_core.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(".hud") / "cache"
"""Where answers are kept, below the folder that a job is started in."""
DIGITS = "[0-9a-f]" * 64


class CallCache:
    """The answers in one folder, by keys that are hexadecimal digests."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder
        self._warned: set[str] = set()

    def read(self, key: str) -> bytes | None:
        """Give the answer that was kept under a key; None where there is none that is whole."""
        try:
            digest, _, answer = self._path(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            self.warn("cannot be read", key, error.strerror)
            return None
        if digest != hashlib.sha256(answer).hexdigest().encode():
            self.warn("holds an answer that is damaged", key, "its digest is another one")
            return None
        return answer

    def write(self, key: str, answer: bytes) -> None:
        """Keep an answer. A folder that cannot be written costs a warning, not the answer."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(answer).hexdigest().encode() + b"\n" + answer)
        except OSError as error:
            self.warn("cannot be written", key, error.strerror)

    def warn(self, what: str, key: str, problem: str | None) -> None:
        """Say that the cache is of no use for a key, so that the model is asked; once for each kind of problem."""
        if what not in self._warned:  # a full disk is worth one line, not one for each call
            self._warned.add(what)
            logger().warning(f"the cache {what}; models are asked instead", file=str(self._path(key)), problem=problem)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def files(self) -> Iterator[Path]:
        """Give the files of all answers, and drafts that a killed process left."""
        for pattern in (f"{DIGITS}.json", f".{DIGITS}.json.*"):
            yield from self.folder.glob(f"[0-9a-f][0-9a-f]/{pattern}")
