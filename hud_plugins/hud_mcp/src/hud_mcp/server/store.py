"""Where the replicas of one server find the replica that holds an episode."""

from __future__ import annotations

import os
import re
import secrets
import socket
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX = ".sock"
_PATH_LIMIT = 100
"""How long the path of a socket file may be; operating systems allow 104 to 108 bytes."""


@frozen(kw_only=True)
class Address:
    """How to reach a replica."""

    url: str
    socket: Path | None = None
    """The socket file to connect to instead of the URL's host."""


class EpisodeStore(ABC):
    """Says where the replicas of one server are.

    An episode is a scenario that runs: it cannot move to another process. So it stays where it was set up, its handle
    names that replica, and any other replica that is asked for it passes the request on.
    """

    @property
    @abstractmethod
    def replica(self) -> str:
        """This replica's name: letters, digits, ``-`` and ``_``; valid while `joined` is open."""

    @abstractmethod
    def joined(self, app: ASGIApp) -> AbstractAsyncContextManager[None]:
        """Let the other replicas reach this one.

        Args:
            app: Answers what they pass on. It asks for no token: only replicas may reach it.

        Raises:
            ConfigError: That is not possible here.
        """

    @abstractmethod
    def find(self, replica: str) -> Address | None:
        """Find a replica by its name; None where it is gone. The name comes from a client, and may be anything."""


class FolderStore(EpisodeStore):
    """Replicas on one machine, or in containers that share a volume: each listens on a socket file in a folder.

    Who may open the folder may grade episodes, so it must be this user's alone. It is made where it is missing. What a
    replica that was killed leaves there goes when the next one joins.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder).absolute()
        self._replica = ""

    @property
    def replica(self) -> str:
        """This replica's name, a new one each time that it joins: processes may be forks of one."""
        return self._replica

    @asynccontextmanager
    async def joined(self, app: ASGIApp) -> AsyncIterator[None]:
        """Listen in the folder.

        Raises:
            ConfigError: The folder is not this user's alone, or its path is too long.
        """
        from hud_mcp.server.http import serve_on

        _make_private(self._folder)
        for stale in _stale(self._folder):
            stale.unlink(missing_ok=True)
        self._replica = secrets.token_hex(8)
        path = self._path(self._replica)
        with _listener(path) as listener:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve_on, app, listener)
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                    tasks.cancel_scope.cancel()

    def find(self, replica: str) -> Address | None:
        """Find a replica's socket file."""
        path = self._path(replica)
        return Address(url="http://replica/", socket=path) if _NAME.fullmatch(replica) and path.is_socket() else None

    def _path(self, replica: str) -> Path:
        return self._folder / f"{replica}{_SUFFIX}"


class UrlStore(EpisodeStore):
    """Replicas anywhere, each with a URL that the others reach.

    A request is passed on as it came, its bearer token included: the replicas have one token, and
    `EnvironmentServer` with ``allowed_hosts`` where these URLs name other hosts.

    Args:
        replica: The name of this one.
        urls: The endpoint of each replica by its name.

    Raises:
        ConfigError: A name is none, or this one has no URL.
    """

    def __init__(self, replica: str, urls: Mapping[str, str]) -> None:
        wrong = [name for name in urls if not _NAME.fullmatch(name)]
        if wrong or replica not in urls:
            why = f"{wrong[0]!r} is no name of a replica" if wrong else f"{replica!r} is not among them"
            msg = f"urls must have the URL of each replica by a name of letters, digits, '-' and '_'; {why}"
            raise ConfigError(msg)
        self._replica = replica
        self._urls = dict(urls)

    @property
    def replica(self) -> str:
        """This replica's name."""
        return self._replica

    @asynccontextmanager
    async def joined(self, app: ASGIApp) -> AsyncIterator[None]:
        """Do nothing: the others ask at the same address as clients."""
        del app
        yield

    def find(self, replica: str) -> Address | None:
        """Look a replica's URL up."""
        url = self._urls.get(replica)
        return None if url is None else Address(url=url)


def episode_store(given: EpisodeStore | str | os.PathLike[str] | None) -> EpisodeStore | None:
    """Take a path for a folder that replicas share."""
    return FolderStore(given) if isinstance(given, str | os.PathLike) else given


def new_handle(store: EpisodeStore | None) -> str:
    """Make the handle of an episode; it cannot be guessed, and with a store names this replica."""
    secret = secrets.token_urlsafe(16)
    return secret if store is None else f"{store.replica}.{secret}"


def replica_of(handle: object) -> str:
    """Give the name of the replica that a handle names; empty where it names none."""
    return handle.rpartition(".")[0] if isinstance(handle, str) else ""


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        msg = f"the replicas' folder {str(folder)!r} must be this user's alone: chmod 700, or name another one"
        raise ConfigError(msg)


def _stale(folder: Path) -> Iterator[Path]:
    """Find the sockets that nobody listens on."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                yield path
            except OSError:
                continue  # it is busy, or has just gone


def _listener(path: Path) -> socket.socket:
    """Listen on a socket file, which has its name only once it listens: another replica would take it for stale."""
    if len(os.fsencode(path)) > _PATH_LIMIT:
        msg = f"the replicas' folder {str(path.parent)!r} has too long a path for socket files; name a shorter one"
        raise ConfigError(msg)
    listener = socket.socket(socket.AF_UNIX)
    draft = path.with_suffix("")
    try:
        listener.bind(str(draft))
        listener.listen()
        draft.rename(path)
    except OSError as error:
        listener.close()
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        msg = f"cannot listen in the replicas' folder {str(path.parent)!r}: {error.strerror or error}"
        raise ConfigError(msg) from error
    return listener
