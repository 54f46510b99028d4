"""Tasks as JSON data, both ways; the one strict codec of task files, datasets and platforms.

A row is judged twice at most. `msgspec` says in a microsecond whether it is right; only one that is not goes through
cattrs (`hud_core.model.problems`), which names every mistake in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec

from hud_core.errors import TaskDataError
from hud_core.model.task import MAX_SLUG_LENGTH, EnvRef, Task, TaskAgentConfig
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from cattrs import Converter

_Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SLUG_LENGTH, pattern=r"^\S(?s:.*\S)?\Z")]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class EnvRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The environment of a row, where it is more than a name."""

    name: str
    backend: str | None = None
    options: dict[str, Any] | None = None


class CallRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tool call of a row."""

    name: str
    arguments: dict[str, Any] | None = None
    id: str | None = None
    annotation: str | None = None
    meta: Any = None
    """Written by the reference SDK beside each call, as is `task`; not used."""
    task: Any = None


class AgentConfigRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The agent settings of a row."""

    system_prompt: str | None = None
    allowed_tools: list[str] | None = None
    disallowed_tools: list[str] | None = None
    max_steps: _Count | None = None
    append_setup_output: bool | None = None
    initial_screenshot: bool | None = None


class TaskRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A task as a row of data. A field that is null is a field that is absent, except for `args`."""

    env: str | EnvRow | None = None
    scenario: str | None = None
    args: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    """Null makes the task a template; absent means that the scenario takes none."""
    slug: _Slug | None = None
    id: str | None = None
    columns: dict[str, Any] | None = None
    validation: list[CallRow] | None = None
    answer: Any = None
    agent_config: AgentConfigRow | None = None
    metadata: dict[str, Any] | None = None
    graders: list[dict[str, Any]] | None = None


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ROW = msgspec.json.Decoder(TaskRow)
_ROWS = msgspec.json.Decoder(list[TaskRow])

# --- loading ----------------------------------------------------------------------------------------------------------


def read_row(data: object, where: str = "task") -> TaskRow:
    """Check a row of Python data.

    Args:
        data: A dict with the fields of a task.
        where: What problems call the row.

    Raises:
        TaskDataError: The row has mistakes; every one of them is named.
    """
    try:
        return msgspec.convert(data, TaskRow)
    except msgspec.ValidationError as error:
        raise _explain(data, where, error) from None


def decode_row(text: bytes | str, where: str = "task") -> TaskRow:
    """Check a row of JSON text; arguments and errors as for `read_row`."""
    try:
        return _ROW.decode(text)
    except msgspec.ValidationError as error:
        raise _explain(decode_json(text, where), where, error) from None
    except _NOT_JSON as error:
        raise _not_json(error, where) from None


def decode_rows(text: bytes, *, lines: bool) -> list[TaskRow] | None:
    """Check many rows of JSON text at once, in half the time.

    Args:
        text: A JSON list, or JSONL.
        lines: Whether it is JSONL, with one row on each line.

    Returns:
        None when something is wrong with some row: `decode_row` says what, given one row after the other.
    """
    try:
        return _ROW.decode_lines(text) if lines else _ROWS.decode(text)
    except (msgspec.ValidationError, *_NOT_JSON):
        return None


def decode_json(text: bytes | str, where: str) -> Any:
    """Read JSON text.

    Raises:
        TaskDataError: It is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except _NOT_JSON as error:
        raise _not_json(error, where) from None


class TaskReader:
    """Makes tasks of rows. Those of one environment share one reference to it, which saves a third of their memory."""

    def __init__(self) -> None:
        self._references: dict[str, EnvRef] = {}

    def task(self, row: TaskRow) -> Task:
        """Make the task of a row that was checked."""
        env = row.env
        if type(env) is EnvRow and (env.backend is not None or env.options):
            reference: EnvRef | None = EnvRef(env.name, env.backend, env.options or {})
        else:
            reference = self._reference(env_name(row))
        config, calls = row.agent_config, row.validation
        return _build(
            reference,
            row.scenario,
            {} if row.args is msgspec.UNSET else row.args,
            row.slug,
            row.id,
            {} if row.columns is None else row.columns,
            None if calls is None else [_call(call) for call in calls],
            row.answer,
            None if config is None else _config(config),
            {} if row.metadata is None else row.metadata,
            row.graders,
        )

    def _reference(self, name: str | None) -> EnvRef | None:
        if name is None:
            return None
        reference = self._references.get(name)
        if reference is None:
            reference = self._references[name] = EnvRef(name)
        return reference


_SETTERS = [getattr(Task, attribute.name).__set__ for attribute in attrs.fields(Task)]


def _build(*values: Any) -> Task:
    """Make a task of values that were checked, given in the order of its fields.

    `Task(...)` would check each of them again, which costs as much as all the rest of loading.
    """
    task = Task.__new__(Task)
    for assign, value in zip(_SETTERS, values, strict=True):
        assign(task, value)
    return task


def env_name(row: TaskRow | Task) -> str | None:
    """Name the environment of a row or task: its ``env``, or the first half of a scenario like ``my-env:count``."""
    if row.env is None:
        return (row.scenario or "").rpartition(":")[0] or None
    return row.env if isinstance(row.env, str) else row.env.name


def load_task(row: object, where: str = "task") -> Task:
    """Make a task of a row of Python data; arguments and errors as for `read_row`."""
    return TaskReader().task(read_row(row, where))


def load_tasks(rows: Iterable[object], where: str = "tasks") -> list[Task]:
    """Make tasks of rows of Python data.

    Args:
        rows: Dicts with the fields of a task.
        where: What problems call the list: those of its second row are in ``tasks[1]``.

    Raises:
        TaskDataError: Rows have mistakes, or two have one slug; every problem of every row is named.
    """
    if isinstance(rows, str | bytes | Mapping):
        raise TaskDataError([f"expected a list of tasks, got {type(rows).__name__} @ {where}"])
    reader = TaskReader()
    tasks: list[Task] = []
    problems: list[str] = []
    slugs: dict[str, int] = {}
    for number, data in enumerate(rows):
        try:
            row = read_row(data, f"{where}[{number}]")
        except TaskDataError as error:
            problems += error.problems
            continue
        if row.slug is not None and slugs.setdefault(row.slug, number) != number:
            problems.append(duplicate_slug(row.slug, f"{where}[{number}]", f"{where}[{slugs[row.slug]}]"))
        tasks.append(reader.task(row))
    if problems:
        raise TaskDataError(problems)
    return tasks


def duplicate_slug(slug: str, second: str, first: str) -> str:
    """Say that two tasks have one slug."""
    return f"slug {slug!r} is that of {first} too; slugs must be unique @ {second}.slug"


def _call(row: CallRow) -> ToolCall:
    return ToolCall(row.name, row.arguments, row.id or "", row.annotation)


def _config(row: AgentConfigRow) -> TaskAgentConfig:
    return TaskAgentConfig(
        system_prompt=row.system_prompt,
        allowed_tools=row.allowed_tools,
        disallowed_tools=row.disallowed_tools,
        max_steps=row.max_steps,
        append_setup_output=row.append_setup_output,
        initial_screenshot=row.initial_screenshot,
    )


def _explain(data: object, where: str, error: msgspec.ValidationError) -> TaskDataError:
    from hud_core.model.problems import problems_of  # cattrs costs 20 ms to import, and only a mistake needs it

    return TaskDataError(problems_of(data, where) or [f"{str(error).replace('`', '')} @ {where}"])


def _not_json(error: Exception, where: str) -> TaskDataError:
    if isinstance(error, UnicodeDecodeError):
        return TaskDataError([f"not UTF-8 text; save it as UTF-8 @ {where}"])
    text = str(error).removeprefix("JSON is malformed: ")
    why = "nested too deeply" if isinstance(error, RecursionError) else f"{text[:1].lower()}{text[1:]}"
    return TaskDataError([f"not JSON: {why} @ {where}"])


# --- dumping ----------------------------------------------------------------------------------------------------------


def dump_task(task: Task) -> dict[str, Any]:
    """Give a task as a row of JSON data, without the fields that say nothing.

    Loading the row gives the task again, with a reference in place of an environment of this process.

    Raises:
        TaskDataError: Something in the task has no JSON form.
    """
    row = {
        "env": _env_data(task.env),
        "scenario": task.scenario,
        "slug": task.slug,
        "id": task.id,
        "columns": task.columns or None,
        "validation": None if task.validation is None else [_call_data(call) for call in task.validation],
        "answer": task.answer,
        "agent_config": None if task.agent_config is None else _config_data(task.agent_config),
        "metadata": task.metadata or None,
        "graders": task.graders,
    }
    shown: dict[str, Any] = {"args": task.args, **{name: value for name, value in row.items() if value is not None}}
    return {name: _plain(shown[name], name) for name in TaskRow.__struct_fields__ if name in shown}


def _env_data(env: Any) -> dict[str, Any] | None:
    if env is None:
        return None
    backend, options = (env.backend, env.options) if isinstance(env, EnvRef) else (None, None)
    return _given(name=env.name, backend=backend, options=options or None)


def _call_data(call: ToolCall) -> dict[str, Any]:
    return _given(name=call.name, arguments=call.arguments, id=call.id or None, annotation=call.annotation)


def _config_data(config: TaskAgentConfig) -> dict[str, Any]:
    return _given(**{name: getattr(config, name) for name in AgentConfigRow.__struct_fields__})


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _plain(value: Any, field: str) -> Any:
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError) as error:
        text = str(error)
        raise TaskDataError([f"{text[:1].lower()}{text[1:]} @ task.{field}"]) from error


def converter() -> Converter:
    """Make a cattrs converter as strict as this codec, for plugins to add their own types to."""
    from hud_core.model.problems import converter as strict

    return strict()
