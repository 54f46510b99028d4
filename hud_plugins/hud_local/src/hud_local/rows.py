"""The task source ``json``: tasks as rows of a JSON or JSONL file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio.lowlevel
import msgspec

from hud_core.errors import ArgumentError, ConfigError, TaskDataError
from hud_core.interfaces import TaskSource
from hud_core.model.codec import TaskReader, TaskRow, decode_row, duplicate_slug
from hud_local.declared import Declared
from hud_local.imports import shown
from hud_local.slugs import SlugFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from hud_core.model.task import Task

PROBLEMS_SHOWN = 200
"""Mistakes of one file that are listed; more are only counted."""
ROWS_AT_ONCE = 500
"""Rows that are read before others in the event loop get their turn."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Json = bytes | msgspec.Raw


class RowSource(TaskSource):
    """Tasks of a JSON file (a list of rows, or one row) or of a JSONL file (a row, or a list of rows, on each line).

    A file is read twice: once to find every mistake in it before anything runs, once to give its tasks. A JSONL file is
    never in memory as a whole, neither time.

    Rows name their environment. One of that name that is declared beside the file, in ``env.py``, is used as it is;
    any other stays a reference, for a backend to open.

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
        await _Check(path, declared).run()
        reader = TaskReader()
        for text in _texts(path):
            row = decode_row(text.json, text.where)
            task = reader.task(row)
            if (environment := declared.find(row)) is not None:
                task.env = environment
            yield task
            await _take_turns(text)


def _existing(ref: str) -> Path:
    path = Path(ref).expanduser()
    if not path.is_file():
        msg = f"no such file: {ref}"
        raise ConfigError(msg)
    return path


class _Check:
    """Finds every mistake of a file."""

    def __init__(self, path: Path, declared: Declared) -> None:
        self._path = path
        self._declared = declared
        self._slugs = SlugFilter()
        self._problems: list[str] = []
        self._count = 0

    async def run(self) -> None:
        """Read the file, and raise what is wrong with it."""
        rows = 0
        for text in _texts(self._path):
            rows += 1
            self._row(text)
            await _take_turns(text)
        if self._slugs.suspects:
            await self._compare_slugs()
        if self._count:
            raise TaskDataError(self._listed())
        if not rows:
            msg = f"no tasks in {shown(self._path)}: it has no rows"
            raise ConfigError(msg)

    def _row(self, text: Text) -> None:
        try:
            row = decode_row(text.json, text.where)
        except TaskDataError as error:
            self._add(error.problems, text)
            return
        if row.slug is not None:
            self._slugs.add(row.slug)
        for problem in _unfit(row, self._declared):
            self._add([f"{problem} @ {text.where}.args"], text)

    async def _compare_slugs(self) -> None:
        """Look again at slugs that came twice, or seemed to."""
        first: dict[str, Text] = {}
        for text in _texts(self._path):
            await _take_turns(text)
            slug = _slug_of(text)
            if slug not in self._slugs.suspects:
                continue
            earlier = first.setdefault(slug, text)
            if earlier is not text:
                self._add([duplicate_slug(slug, text.where, f"{earlier.where} ({earlier.place})")], text)

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
    scenario = (row.scenario or "").rpartition(":")[2]
    if environment is None or scenario not in environment.scenarios or row.args is None:
        return ()
    try:
        environment.scenarios[scenario].signature.bind(row.args or {})
    except ArgumentError as error:
        return error.problems
    return ()


def _slug_of(text: Text) -> str:
    try:
        return decode_row(text.json).slug or ""
    except TaskDataError:
        return ""


# --- splitting files into rows ----------------------------------------------------------------------------------------


class Text(NamedTuple):
    """The text of one row, and where it is."""

    json: Json
    number: int
    place: str

    @property
    def where(self) -> str:
        """What problems call the row."""
        return f"tasks[{self.number}]"


async def _take_turns(text: Text) -> None:
    """Give others in the event loop their turn, every so many rows."""
    if text.number % ROWS_AT_ONCE == 0:
        await anyio.lowlevel.checkpoint()


def _texts(path: Path) -> Iterator[Text]:
    pieces = _lines(path) if path.suffix == ".jsonl" else iter([(path.read_bytes(), shown(path))])
    rows = ((json, place) for piece, place in pieces for json in _split(piece))
    for number, (json, place) in enumerate(rows):
        yield Text(json, number, place)


def _lines(path: Path) -> Iterator[tuple[bytes, str]]:
    name = shown(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield line, f"{name}:{number}"


def _split(piece: bytes) -> Iterable[Json]:
    """Split a list into its items, without reading them. What cannot be split is one row, which says why it is none."""
    text = piece.removeprefix(_BYTE_ORDER_MARK).strip()
    if not text.startswith(b"["):
        return [text] if text else []
    try:
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return [text]
