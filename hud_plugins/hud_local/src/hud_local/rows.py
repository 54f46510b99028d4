"""The task source ``json``: tasks as rows of a JSON or JSONL file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio.lowlevel

from hud_core.errors import ArgumentError, ConfigError, TaskDataError
from hud_core.interfaces import TaskSource
from hud_core.model.codec import TaskReader, TaskRow, decode_json, decode_row, decode_rows, duplicate_slug
from hud_core.model.slugs import SlugFilter
from hud_core.model.task import Task
from hud_local.declared import Declared
from hud_local.imports import shown
from hud_local.pieces import pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from hud_local.pieces import Piece, Text

PROBLEMS_SHOWN = 200
"""Mistakes of one file that are listed; more are only counted."""


class RowSource(TaskSource):
    """Tasks of a JSON file (a list of rows, or one row) or of a JSONL file (a row, or a list of rows, on each line).

    A file is read twice: once to find every mistake in it before anything runs, once to give its tasks. A JSONL file is
    never in memory as a whole, neither time.

    Rows name their environment. One of that name that is declared beside the file, in ``env.py``, is used as it is;
    any other stays a reference, for a backend to open. Rows of another form, such as a LegacyTask's, are read by the
    plugin that knows it.

    Args:
        environments: More Python files that declare environments.
    """

    def __init__(self, environments: Iterable[str] = ()) -> None:
        self._environments = tuple(environments)

    def claims(self, ref: str) -> bool:
        """Whether it is the name of a JSON or JSONL file, existing or not."""
        return ref.endswith((".json", ".jsonl"))

    async def load(self, ref: str) -> AsyncIterator[Task]:
        """Check the file, then give its tasks.

        Raises:
            ConfigError: There is no such file, or it has no rows.
            TaskDataError: Rows have mistakes, or two have one slug; every mistake of the file is named.
        """
        path = _existing(ref)
        declared = Declared(path.parent, self._environments)
        foreign = ForeignRows(() if self.kernel is None else self.kernel.all_sources())
        await _Check(path, declared, foreign).run()
        reader = TaskReader()
        for piece in pieces_of(path):
            for row in _rows(piece, foreign):
                task = row if isinstance(row, Task) else reader.task(row)
                if (environment := declared.find(row)) is not None:
                    task.env = environment
                yield task
            await anyio.lowlevel.checkpoint()


def _existing(ref: str) -> Path:
    path = Path(ref).expanduser()
    if not path.is_file():
        msg = f"no such file: {ref}"
        raise ConfigError(msg)
    return path


def _rows(piece: Piece, foreign: ForeignRows) -> Iterable[TaskRow | Task]:
    """Give the rows of a piece without mistakes; those of other forms as tasks."""
    rows = piece.checked()
    return (foreign.read(text) for text in piece.texts(0)) if rows is None else rows


class ForeignRows:
    """Reads rows of every form that an installed plugin knows.

    Args:
        sources: Sources that may know a form.
    """

    def __init__(self, sources: Sequence[TaskSource]) -> None:
        self._sources = sources

    def read(self, text: Text) -> TaskRow | Task:
        """Read a row.

        Raises:
            TaskDataError: It has mistakes, or a form that nobody knows.
        """
        if self._sources and decode_rows(bytes(text.json), lines=True) is None:  # which takes no time to say why
            task = self._task(text)
            if task is not None:
                return task
        return decode_row(text.json, text.where)

    def _task(self, text: Text) -> Task | None:
        data = decode_json(text.json, text.where)
        if not isinstance(data, dict):
            return None
        found = (source.read_row(data, text.where) for source in self._sources)
        return next((task for task in found if task is not None), None)


class _Check:
    """Finds every mistake of a file."""

    def __init__(self, path: Path, declared: Declared, foreign: ForeignRows) -> None:
        self._path = path
        self._declared = declared
        self._foreign = foreign
        self._slugs = SlugFilter()
        self._problems: list[str] = []
        self._count = 0

    async def run(self) -> None:
        """Read the file, and raise what is wrong with it."""
        count = 0
        for piece in pieces_of(self._path):
            count += self._piece(piece, count)
            await anyio.lowlevel.checkpoint()
        if self._slugs.suspects:
            await self._compare_slugs()
        if self._count:
            raise TaskDataError(self._listed())
        if not count:
            msg = f"no tasks in {shown(self._path)}: it has no rows"
            raise ConfigError(msg)

    def _piece(self, piece: Piece, first: int) -> int:
        """Check a piece as a whole; look at each of its rows only when something is wrong. Give how many there are."""
        rows = piece.checked()
        if rows is not None and not any(_unfit(row, self._declared) for row in rows):
            self._slugs.add(row.slug for row in rows)
            return len(rows)
        texts = list(piece.texts(first))
        for text in texts:
            self._row(text)
        return len(texts)

    def _row(self, text: Text) -> None:
        try:
            row = self._foreign.read(text)
        except TaskDataError as error:
            self._add(error.problems, text)
            return
        self._slugs.add([row.slug])
        for problem in () if isinstance(row, Task) else _unfit(row, self._declared):
            self._add([f"{problem} @ {text.where}.args"], text)

    async def _compare_slugs(self) -> None:
        """Look again at slugs that came twice, or seemed to."""
        first: dict[str, Text] = {}
        count = 0
        for piece in pieces_of(self._path):
            rows = piece.checked()
            if rows is not None and self._slugs.suspects.isdisjoint(row.slug for row in rows):
                count += len(rows)
                continue
            for text in piece.texts(count):
                count += 1
                self._compare_slug(text, first)
            await anyio.lowlevel.checkpoint()

    def _compare_slug(self, text: Text, first: dict[str, Text]) -> None:
        slug = self._slug_of(text)
        if slug in self._slugs.suspects:
            earlier = first.setdefault(slug, text)
            if earlier is not text:
                self._add([duplicate_slug(slug, text.where, f"{earlier.where} ({earlier.place})")], text)

    def _slug_of(self, text: Text) -> str:
        try:
            return self._foreign.read(text).slug or ""
        except TaskDataError:
            return ""

    def _add(self, problems: Iterable[str], text: Text) -> None:
        for problem in problems:
            self._count += 1
            if self._count <= PROBLEMS_SHOWN:
                self._problems.append(f"{problem} ({text.place})")

    def _listed(self) -> list[str]:
        hidden = self._count - len(self._problems)
        return [*self._problems, *([f"and {hidden} more mistakes ({shown(self._path)})"] if hidden else [])]


def _unfit(row: TaskRow, declared: Declared) -> tuple[str, ...]:
    """Say which arguments the row's scenario does not take, where the scenario is known."""
    environment = declared.find(row)
    if environment is None:
        return ()
    scenario = (row.scenario or "").rpartition(":")[2]
    if scenario not in environment.scenarios or row.args is None:
        return ()
    try:
        environment.scenarios[scenario].signature.bind(row.args or {})
    except ArgumentError as error:
        return error.problems
    return ()
