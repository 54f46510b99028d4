"""Watches files, and tells when some were saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from attrs import field, frozen
from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from watchfiles import Change

SUFFIXES = (".json", ".py", ".toml", ".yaml", ".yml")
_QUIET = 30
"""How many milliseconds without another save end a wait: editors save in several steps."""
_LONGEST = 200
"""How many milliseconds a wait may take, when saves do not end."""


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
                if self._places.files:
                    group.start_soon(self._follow_files)
                if self._places.folders:
                    group.start_soon(self._follow_folders)
                await anyio.sleep(_QUIET / 1000)
                await self._tell(set())  # what was saved before this watch began

    async def _end(self) -> None:
        # The library's thread is not interrupted by a cancellation; it asks this event many times a second.
        try:
            await anyio.sleep_forever()
        finally:
            self._stop.set()

    async def _follow_files(self) -> None:
        async for changes in awatch(
            *self._places.parents,
            watch_filter=self._places.is_wanted_file,
            recursive=False,
            step=_QUIET,
            debounce=_LONGEST,
            stop_event=self._stop,
            ignore_permission_denied=True,
        ):
            await self._tell({Path(path) for _, path in changes})

    async def _follow_folders(self) -> None:
        async for changes in awatch(
            *self._places.folders,
            watch_filter=self._places.is_wanted_inside,
            step=_QUIET,
            debounce=_LONGEST,
            stop_event=self._stop,
            ignore_permission_denied=True,
        ):
            await self._tell({Path(path) for _, path in changes})

    async def _tell(self, files: set[Path]) -> None:
        async with self._turn:
            await self._saved(files)
        if _places(self._paths()) != self._places:
            self._scope.cancel()
