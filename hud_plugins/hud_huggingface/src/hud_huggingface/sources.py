"""The task source ``dataset``: tasks of a dataset on the Hub, of an address, of a table, of a folder of them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel

from hud_core.environment.references import bare_urls
from hud_core.errors import ConfigError
from hud_core.interfaces import TaskSource
from hud_core.log import logger
from hud_core.model.codec import load_task
from hud_huggingface.formats import COMPRESSED, format_of
from hud_huggingface.refs import hub_ref, is_url, secret_in, split_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from hud_core.model.task import Task
    from hud_huggingface.hub import Part
    from hud_huggingface.loading import Problems

TURN_ROWS = 100
"""Rows after which others in the event loop get their turn."""
_OTHERS = {"json", "jsonl"}
"""Formats whose plain files belong to hud-local."""


T = TypeVar("T")


class DatasetSource(TaskSource):
    """Tasks of a dataset. It is read twice: to find every mistake before anything runs, then to give its tasks."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def claims(self, ref: str) -> bool:
        """Whether it names a dataset on the Hub, an address, a table, compressed rows or a folder of such files."""
        if hub_ref(ref) is not None or is_url(ref):
            return True
        path = Path(split_off(ref)[0]).expanduser()
        if ref and path.is_dir():
            return _is_dataset(path)
        kind = format_of(ref)
        return kind is not None and (kind not in _OTHERS or ref.lower().endswith(COMPRESSED))

    def with_split(self, ref: str, split: str) -> str:
        """Name a split, or ``config/split``, of a dataset on the Hub or of a folder."""
        from hud_huggingface.places import with_parts

        config, _, part = split.rpartition("/")
        return with_parts(ref, revision=None, config=config or None, split=part)

    async def pin(self, ref: str) -> str:
        """Name the commit that a dataset on the Hub is at now.

        Raises:
            ConfigError: There is no such dataset, or a part of an address is secret, which no record may hold.
            HubError: The Hub cannot be reached, or fails.
        """
        if is_url(ref) and (secret := secret_in(ref)):
            problem = f"{bare_urls(ref)}: the run directory keeps the address, and {secret!r} in it is secret"
            raise ConfigError(f"{problem}; write a variable in its place, ${{VAR}}")
        on_hub = hub_ref(ref)
        if on_hub is None:
            return ref
        from hud_huggingface.hub import pinned

        return str(await _abandonable(partial(pinned, on_hub)))

    def read_row(self, row: Mapping[str, Any], where: str) -> Task | None:
        """Make a task of a LegacyTask's row, or of one to correct; what was corrected in rows is said once."""
        from hud_huggingface.columns import is_legacy
        from hud_huggingface.straightening import straight_new

        if is_legacy(row):
            from hud_huggingface.legacy import read_legacy_task

            legacy = read_legacy_task(row, where)
            task, corrections = legacy.to_task(), legacy.corrections
        else:
            straight, corrections = straight_new(row)
            if not corrections:
                return None
            task = load_task(straight, where)
        for text in corrections:
            if text not in self._said:
                self._said.add(text)
                logger().warning(f"{text} (first @ {where})")
        return task

    async def load(self, ref: str) -> AsyncIterator[Task]:
        """Get the files and check them, then give their tasks.

        Raises:
            TaskDataError: Rows are wrong, or two have one slug; every mistake is named.
            ConfigError: There is no such dataset, or it has no rows.
            HubError: The Hub, or another server, cannot be reached or fails.
        """
        from hud_huggingface.legacy import LegacyTask
        from hud_huggingface.loading import RowReader, rows_in
        from hud_huggingface.places import files_of

        with ExitStack() as stack:
            # Whoever stops while a download runs does not wait for it; the Hub's cache keeps what has arrived.
            files = await _abandonable(partial(stack.enter_context, files_of(ref)))
            await _check(files, ref)
            reader = RowReader()
            for number, row in enumerate(rows_in(files)):
                task = reader.read(row, number)
                yield task.to_task() if isinstance(task, LegacyTask) else task
                if number % TURN_ROWS == 0:
                    await anyio.lowlevel.checkpoint()


async def _abandonable(function: Callable[[], T]) -> T:
    """Call a function in a thread that nobody waits for once this is cancelled, the end of the process neither."""
    result: Future[T] = Future()
    done, loop = anyio.Event(), anyio.lowlevel.current_token()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001  raised where the result is waited for
            result.set_exception(error)
        with suppress(RuntimeError):  # the event loop has ended
            anyio.from_thread.run_sync(done.set, token=loop)

    threading.Thread(target=call, name="hud-download", daemon=True).start()
    await done.wait()
    return result.result()


def _is_dataset(folder: Path) -> bool:
    """Whether a folder has files of rows, directly or in ``data``, and no Python file, which would come first.

    A plain JSON file is not enough: folders of many kinds have one.
    """
    names = [file.name for place in (folder, folder / "data") if place.is_dir() for file in place.iterdir()]
    return any(format_of(name) not in (None, "json") for name in names) and not any(
        name.endswith(".py") for name in names
    )


async def _check(files: list[Part], ref: str) -> None:
    """Read all rows, and raise what is wrong with them."""
    from hud_core.model.slugs import SlugFilter
    from hud_huggingface.loading import Problems, RowReader, rows_in, slug_of

    reader, problems, slugs = RowReader(), Problems(), SlugFilter()
    count = 0
    for number, row in enumerate(rows_in(files)):
        count += 1
        with problems.kept():
            slugs.add([slug_of(reader.read(row, number))])
        if number % TURN_ROWS == 0:
            await anyio.lowlevel.checkpoint()
    if slugs.suspects:
        await _compare(files, slugs.suspects, problems)
    problems.raise_any()
    if not count:
        raise ConfigError(f"there are no rows in {bare_urls(ref)}")
    for text in reader.corrections():
        logger().warning(f"{bare_urls(ref)}: {text}")


async def _compare(files: list[Part], suspects: set[str], problems: Problems) -> None:
    """Look again at slugs that came twice, or seemed to."""
    from hud_huggingface.loading import SlugComparison, rows_in

    comparison = SlugComparison()
    for number, row in enumerate(rows_in(files)):
        slug = row.data.get("slug") if isinstance(row.data, dict) else None
        if slug in suspects:
            with problems.kept():
                comparison.add(slug, number, row)
        if number % TURN_ROWS == 0:
            await anyio.lowlevel.checkpoint()
