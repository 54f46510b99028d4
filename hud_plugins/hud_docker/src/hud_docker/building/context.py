"""What a build sends to the engine: the files of a directory that no rule leaves out, and what they hash to."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import attrs

from hud_core.errors import ConfigError
from hud_docker.building.ignore import rules_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hud_docker.building.ignore import IgnoreRules, State

LOCK_NAME = "hud.lock.yaml"
DOCKERFILES = ("Dockerfile.hud", "Dockerfile")
"""What a Dockerfile may be called; the first that is there is used."""
_BLOCK = 1 << 16


def find_dockerfile(directory: Path) -> str | None:
    """Find a directory's Dockerfile: ``Dockerfile.hud`` before ``Dockerfile``."""
    return next((name for name in DOCKERFILES if (directory / name).is_file()), None)


@attrs.frozen
class Entry:
    """A path of a build context, relative to its directory, with slashes."""

    path: str
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, wherever that leads."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_executable(self) -> bool:
        """Whether its owner may run it."""
        return bool(self.status.st_mode & stat.S_IXUSR)


class Context:
    """The build context of a directory.

    Args:
        directory: The directory.
        dockerfile: Its Dockerfile, relative to it; it belongs to the context even where a rule leaves it out.

    Raises:
        ConfigError: The ignore file cannot be read, or has a line that is no pattern.
    """

    def __init__(self, directory: Path, dockerfile: str) -> None:
        self.directory = directory
        self.dockerfile = dockerfile
        self._rules = rules_of(directory, dockerfile)

    def entries(self) -> Iterator[Entry]:
        """Give the files, links and directories of the context, in an order that is the same on every machine.

        Raises:
            ConfigError: A directory cannot be read.
        """
        yield from _walk(self, self._rules, "", self._rules.root)

    def digests(self) -> dict[str, str]:
        """Hash every file: its content, whether it is executable, and where it leads if it is a link.

        Times and owners do not count, nor do directories: a clone of the same commit has the same digests. The lock
        file does not count either: it holds the result.

        Raises:
            ConfigError: A file cannot be read.
        """
        return dict(self.iter_digests())

    def iter_digests(self) -> Iterator[tuple[str, str]]:
        """Give paths and digests, as `digests` does, one by one."""
        for entry in self.entries():
            if not entry.is_directory and entry.path != LOCK_NAME:
                yield entry.path, self._digest(entry)

    def _digest(self, entry: Entry) -> str:
        path = self.directory / entry.path
        try:
            if entry.is_link:
                return hashlib.sha256(b"link\0" + os.fsencode(path.readlink())).hexdigest()
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise _unreadable(path, error) from error
        return hashlib.sha256((b"run\0" if entry.is_executable else b"file\0") + content).hexdigest()

    def tar(self) -> Iterator[bytes]:
        """Give the context as a tar archive, a block at a time.

        Raises:
            ConfigError: A file cannot be read, or changed meanwhile.
        """
        for entry in self.entries():
            path = self.directory / entry.path
            try:
                yield from _packed(entry, path)
            except OSError as error:
                raise _unreadable(path, error) from error
        yield bytes(2 * tarfile.BLOCKSIZE)  # the archive's end


def _packed(entry: Entry, path: Path) -> Iterator[bytes]:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.mtime = stat.S_IMODE(entry.status.st_mode), max(int(entry.status.st_mtime), 0)
    if entry.is_directory:
        info.type = tarfile.DIRTYPE
    elif entry.is_link:
        info.type, info.linkname = tarfile.SYMTYPE, os.fspath(path.readlink())
    else:
        info.size = entry.status.st_size
    yield info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
    if info.isreg():
        yield from _content(path, info.size)
        yield bytes(-info.size % tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Give a file's content, of exactly the size that the archive announced."""
    with path.open("rb") as file:
        while size:
            block = file.read(min(size, _BLOCK))
            if not block:
                raise OSError(errno.EIO, "it became shorter while it was read")
            size -= len(block)
            yield block


def source_hash(digests: Mapping[str, str]) -> str:
    """Make one hash of the files' digests."""
    lines = b"".join(
        os.fsencode(path) + b"\0" + digest.encode() + b"\n"
        for path, digest in sorted(digests.items(), key=lambda pair: os.fsencode(pair[0]))
    )
    return hashlib.sha256(lines).hexdigest()


def _walk(context: Context, rules: IgnoreRules, folder: str, state: State) -> Iterator[Entry]:
    for name, status in _listed(context.directory / folder):
        path = f"{folder}/{name}" if folder else name
        own = rules.below(state, path)
        entry = Entry(path, status)
        is_out = rules.leaves_out(own) and path != context.dockerfile
        if not is_out:
            yield entry
        if entry.is_directory and (not is_out or _leads_on(context, rules, path)):
            yield from _walk(context, rules, path, own)


def _leads_on(context: Context, rules: IgnoreRules, folder: str) -> bool:
    return rules.may_keep_below(folder) or context.dockerfile.startswith(f"{folder}/")


def _listed(folder: Path) -> list[tuple[str, os.stat_result]]:
    """List files, links and directories; sockets, pipes and devices are no sources."""
    try:
        with os.scandir(folder) as found:
            pairs = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
    except OSError as error:
        raise _unreadable(folder, error) from error
    kinds = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)
    return sorted(
        [(name, status) for name, status in pairs if stat.S_IFMT(status.st_mode) in kinds],
        key=lambda pair: os.fsencode(pair[0]),
    )


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot read {path} for the build: {error.strerror or error}; mend it or name it in .dockerignore"
    )
