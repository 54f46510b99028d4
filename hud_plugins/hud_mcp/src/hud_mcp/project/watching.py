"""Watches files, and tells when some were saved."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from attrs import field, frozen
from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from watchfiles import Change

SUFFIXES = (".json", ".py", ".toml", ".yaml", ".yml")
_QUIET = 30
"""How many milliseconds without another save end a wait: editors save in several steps."""
_LONGEST = 200
"""How many milliseconds a wait may take, when saves do not end."""
_RETRY_SECONDS = 1


class _UnwatchableError(Exception):
    """The system does not tell of changes there."""


@frozen
class _Places:
    """Where to look: files, each through its folder, and folders with everything below them."""

    # An editor often writes a new file and puts it in the old one's place: who watches the file itself loses it.
    files: frozenset[Path] = field()
    folders: frozenset[Path] = field()

    @property
    def parents(self) -> set[Path]:
        return {file.parent for file in self.files}

    def is_wanted_file(self, _: Change, path: str) -> bool:
        return Path(path) in self.files

    def is_wanted_inside(self, _: Change, path: str) -> bool:
        inside = next((Path(path).relative_to(it) for it in self.folders if Path(path).is_relative_to(it)), Path(path))
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts if part != "/")
        return path.endswith(SUFFIXES) and not hidden


def _places(paths: Iterable[Path]) -> _Places:
    resolved = [path.resolve() for path in paths]
    return _Places(
        frozenset(path for path in resolved if not path.is_dir()), frozenset(path for path in resolved if path.is_dir())
    )


async def watch(paths: Callable[[], Iterable[Path]], saved: Callable[[set[Path]], Awaitable[None]]) -> None:
    """Watch files until cancelled.

    Args:
        paths: Gives the files, and the folders with everything below them; asked again after each save.
        saved: Called with the files that were saved, one call after the other; with none when it is time to look.
    """
    while True:
        await _Watch(_places(paths()), paths, saved).run()


class _Watch:
    """One watch, until there are other places to look at."""

    def __init__(
        self, places: _Places, paths: Callable[[], Iterable[Path]], saved: Callable[[set[Path]], Awaitable[None]]
    ) -> None:
        self._places = places
        self._paths = paths
        self._saved = saved
        self._turn = anyio.Lock()
        self._stop = anyio.Event()
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end)
                places = self._places
                if places.files:
                    follow = partial(self._follow, places.parents, places.is_wanted_file, recursive=False)
                    group.start_soon(follow)
                if places.folders:
                    group.start_soon(partial(self._follow, places.folders, places.is_wanted_inside, recursive=True))
                await anyio.sleep(_QUIET / 1000)
                await self._tell(set())  # what was saved before this watch began

    async def _end(self) -> None:
        # The library's thread is not interrupted by a cancellation; it asks this event many times a second.
        try:
            await anyio.sleep_forever()
        finally:
            self._stop.set()

    async def _follow(self, folders: Iterable[Path], wanted: Callable[[Change, str], bool], *, recursive: bool) -> None:
        """Tell of what is saved in folders; look at them again and again where the system does not tell."""
        polling: bool | None = None
        while not self._stop.is_set():
            before = _identities(folders)
            changes = awatch(
                *folders,
                watch_filter=wanted,
                recursive=recursive,
                step=_QUIET,
                debounce=_LONGEST,
                stop_event=self._stop,
                ignore_permission_denied=True,
                force_polling=polling,
                rust_timeout=_RETRY_SECONDS * 1000,
                yield_on_timeout=True,
            )
            try:
                async with aclosing(changes):
                    await self._follow_until_moved(changes, before)
            except _UnwatchableError:
                polling = True
                await anyio.sleep(_RETRY_SECONDS)
            await self._tell(set())

    async def _follow_until_moved(
        self, changes: AsyncIterator[set[tuple[Change, str]]], before: dict[Path, int | None]
    ) -> None:
        """Follow until there are other folders in the place of those that are watched."""
        while True:
            try:
                some = await anext(changes, None)
            except (OSError, RuntimeError) as error:  # no more watches on this system, or the folder is gone for now
                raise _UnwatchableError from error
            if some is None or (not some and _identities(before) != before):
                return
            if some:
                await self._tell({Path(path) for _, path in some})

    async def _tell(self, files: set[Path]) -> None:
        async with self._turn:
            await self._saved(files)
        if _places(self._paths()) != self._places:
            self._scope.cancel()


def _identities(folders: Iterable[Path]) -> dict[Path, int | None]:
    """Tell folders from others that take their places, as a checkout of another branch may bring."""
    return {folder: folder.stat().st_ino if folder.is_dir() else None for folder in folders}
