"""Tasks out of datasets: as a list, all of them checked; or one after the other, however many there are."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, contextmanager
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from hud_core.environment.references import bare_urls
from hud_core.errors import ConfigError, TaskDataError
from hud_core.model.codec import TaskReader, duplicate_slug, read_row
from hud_huggingface.columns import decoded, is_legacy
from hud_huggingface.files import Row, rows_of
from hud_huggingface.legacy import DEPRECATED, LegacyTask, LegacyTaskWarning, read_legacy_task
from hud_huggingface.places import files_of, with_parts
from hud_huggingface.straightening import straight_new

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from hud_core.model.task import Task
    from hud_huggingface.hub import Part

    Source = str | PathLike[str] | Iterable[Mapping[str, Any]]

PROBLEMS_SHOWN = 200
"""Mistakes of one dataset that are listed; more are only counted."""

T = TypeVar("T")


@overload
def load_tasks(
    source: Source, *, split: str | None = ..., revision: str | None = ..., config: str | None = ..., raw: Literal[True]
) -> list[dict[str, Any]]: ...


@overload
def load_tasks(
    source: Source,
    *,
    split: str | None = ...,
    revision: str | None = ...,
    config: str | None = ...,
    raw: Literal[False] = ...,
) -> list[LegacyTask | Task]: ...


def load_tasks(
    source: Source,
    *,
    split: str | None = None,
    revision: str | None = None,
    config: str | None = None,
    raw: bool = False,
) -> list[LegacyTask | Task] | list[dict[str, Any]]:
    """Load the tasks of a dataset.

    Args:
        source: A dataset on the Hub (``org/name``, ``org/name:split``, ``org/name@revision:config/split``), a file
            (Parquet, JSONL, JSON, CSV, TSV), a folder, an ``https://`` address of a file, or rows.
        split: The split; by default ``train``, or the only one.
        revision: A branch, a tag or a commit.
        config: The config (subset); by default the only one, or the one called ``default``.
        raw: Whether to give the rows as dicts, with their templates, instead of tasks.

    Returns:
        A `LegacyTask` for each row with a prompt and an ``mcp_config``, a `Task` for each other one; dicts if `raw`.

    Raises:
        TaskDataError: Rows are wrong; every one is named, and nothing is loaded.
        ConfigError: There is no such dataset, file, split, config or revision, or it has no rows.
        HubError: The Hub, or another server, cannot be reached or fails.
    """
    ref = _ref(source, split=split, revision=revision, config=config)
    with closing(_rows(source if ref is None else ref)) as rows:
        if raw:
            return _all_raw(rows, ref)
        reader = RowReader()
        tasks = _all_read(rows, reader, ref)
    reader.warn()
    return tasks


def iter_tasks(
    source: Source, *, split: str | None = None, revision: str | None = None, config: str | None = None
) -> Iterator[LegacyTask | Task]:
    """Give the tasks of a dataset one after the other; arguments as for `load_tasks`.

    Memory stays the same however many there are. That slugs differ is not checked, as that needs all of them.

    Raises:
        TaskDataError: A row is wrong; the message says how many good rows came before it.
        ConfigError: As for `load_tasks`.
        HubError: As for `load_tasks`.
    """
    ref = _ref(source, split=split, revision=revision, config=config)
    reader = RowReader()
    number = 0
    with closing(_rows(source if ref is None else ref)) as rows:
        try:
            for number, row in enumerate(rows):
                yield reader.read(row, number)
        except TaskDataError as error:
            raise TaskDataError([*error.problems, f"good rows before it: {number}"]) from None
    reader.warn()


def _ref(source: Source, **parts: str | None) -> str | None:
    """Write a source that is no rows as a ref."""
    if isinstance(source, str | PathLike):
        return with_parts(fspath(source), **parts)
    if isinstance(source, Mapping):
        raise TaskDataError(["expected a list of rows, got one row @ tasks"])
    if any(parts.values()):
        raise ConfigError("rows have no split, revision or config; only datasets have")
    return None


def _rows(source: Source) -> Generator[Row, None, None]:
    if isinstance(source, str | PathLike):
        with files_of(fspath(source)) as files:
            yield from rows_in(files)
    else:
        for number, data in enumerate(source):
            yield Row(data, f"row {number}")


def rows_in(files: Iterable[Part]) -> Iterator[Row]:
    """Give the rows of files, one file after the other."""
    for file in files:
        yield from rows_of(file.path, file.name)


def _all_raw(rows: Iterable[Row], ref: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    problems = Problems()
    for number, row in enumerate(rows):
        with problems.kept():
            check_row(row, number)
            # Text files hold rows as they were written. Tables cannot: there, structured fields are JSON text.
            data = decoded(row, f"tasks[{number}]")
            found.append(data if row.is_flat else row.data)
    problems.raise_any()
    return _some(found, ref)


def _all_read(rows: Iterable[Row], reader: RowReader, ref: str | None) -> list[LegacyTask | Task]:
    tasks: list[LegacyTask | Task] = []
    problems, slugs = Problems(), SlugComparison()
    for number, row in enumerate(rows):
        with problems.kept():
            task = reader.read(row, number)
            if (slug := slug_of(task)) is not None:
                slugs.add(slug, number, row)
            tasks.append(task)
    problems.raise_any()
    return _some(tasks, ref)


def _some(found: list[T], ref: str | None) -> list[T]:
    if not found and ref is not None:
        raise ConfigError(f"there are no rows in {bare_urls(ref)}")
    return found


class SlugComparison:
    """Finds rows of one slug."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, str]] = {}

    def add(self, slug: str, number: int, row: Row) -> None:
        """Note the slug of a row.

        Raises:
            TaskDataError: An earlier row has it.
        """
        first, place = self._first.setdefault(slug, (number, row.place))
        if first != number:
            problem = duplicate_slug(slug, f"tasks[{number}]", f"tasks[{first}] ({place})")
            raise TaskDataError([f"{problem} ({row.place})"])


def slug_of(task: LegacyTask | Task) -> str | None:
    """Give a task's slug; ids of real datasets come twice, and slugs may not."""
    return cast("str | None", getattr(task, "slug", None)) or None


def check_row(row: Row, number: int) -> None:
    """Raise the problem of a row that could not be read."""
    if row.problem:
        raise TaskDataError([f"{row.problem} @ tasks[{number}] ({row.place})"])


class RowReader:
    """Makes tasks of rows, and counts what it corrected in them."""

    def __init__(self) -> None:
        self._reader = TaskReader()
        self._corrections: Counter[str] = Counter()
        self._has_legacy = False

    def read(self, row: Row, number: int) -> LegacyTask | Task:
        """Make the task of a row.

        Raises:
            TaskDataError: The row is wrong; each mistake is named, with the row's place.
        """
        check_row(row, number)
        where = f"tasks[{number}]"
        data = decoded(row, where)
        try:
            return self._legacy(data, where) if is_legacy(data) else self._new(data, where)
        except TaskDataError as error:
            raise TaskDataError([f"{problem} ({row.place})" for problem in error.problems]) from None

    def _legacy(self, data: Mapping[str, Any], where: str) -> LegacyTask:
        task = read_legacy_task(data, where)
        self._has_legacy = True
        self._corrections.update(task.corrections)
        return task

    def _new(self, data: Mapping[str, Any], where: str) -> Task:
        row, corrections = straight_new(data)
        task = self._reader.task(read_row(row, where))
        self._corrections.update(corrections)
        return task

    def corrections(self) -> Sequence[str]:
        """Say what was corrected, one line for each kind of correction, with the number of rows."""
        return [f"{text} ({number} row{'s' * (number != 1)})" for text, number in self._corrections.items()]

    def warn(self) -> None:
        """Warn the caller's caller that LegacyTask is deprecated, if there was one, and of each kind of correction."""
        if self._has_legacy:
            warnings.warn(DEPRECATED, DeprecationWarning, stacklevel=3)
        for text in self.corrections():
            warnings.warn(text, LegacyTaskWarning, stacklevel=3)


class Problems:
    """Collects the mistakes of many rows."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is wrong with a row, and go on."""
        try:
            yield
        except TaskDataError as error:
            self._count += len(error.problems)
            self._lines += error.problems[: PROBLEMS_SHOWN - len(self._lines)]

    def raise_any(self) -> None:
        """Raise what was kept, if anything was.

        Raises:
            TaskDataError: Something was.
        """
        if self._lines:
            hidden = self._count - len(self._lines)
            raise TaskDataError([*self._lines, *([f"and {hidden} more mistakes"] if hidden else [])])
