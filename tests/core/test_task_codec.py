"""Tasks as JSON data: nothing is lost, nothing is coerced, every mistake is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from cattrs import BaseValidationError
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import TaskDataError
from hud_core.model.codec import TaskReader, TaskRow, converter, decode_row, dump_task, load_task, load_tasks
from hud_core.model.problems import lines_of, problems_of
from hud_core.model.task import EnvRef, Task, TaskAgentConfig
from hud_core.model.tools import ToolCall

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_data, max_size=3)
names = st.text(min_size=1, max_size=20).filter(lambda text: text == text.strip())
calls = st.builds(ToolCall, name=st.text(), arguments=objects, id=st.text(), annotation=st.none() | st.text())
configs = st.builds(
    TaskAgentConfig,
    system_prompt=st.none() | st.text(),
    allowed_tools=st.none() | st.lists(st.text()),
    disallowed_tools=st.none() | st.lists(st.text()),
    max_steps=st.none() | st.integers(1, 1000),
)
tasks = st.builds(
    Task,
    env=st.none() | st.builds(EnvRef, name=names, backend=st.none() | names, options=objects),
    scenario=st.none() | st.text().filter(lambda text: ":" not in text),
    args=st.none() | objects,
    slug=st.none() | names,
    id=st.none() | st.text(),
    columns=objects,
    validation=st.none() | st.lists(calls, max_size=2),
    answer=json_data,
    agent_config=st.none() | configs,
    metadata=objects,
    graders=st.none() | st.lists(objects, max_size=2),
)


def problems_in(rows: list[Any]) -> list[str]:
    try:
        load_tasks(rows)
    except TaskDataError as error:
        return list(error.problems)
    return []


def fields(task: Task) -> dict[str, Any]:
    return {attribute.name: getattr(task, attribute.name) for attribute in attrs.fields(Task)}


# --- there and back ---------------------------------------------------------------------------------------------------


@given(tasks)
def test_a_task_survives_the_way_out_and_back(task: Task) -> None:
    row = dump_task(task)
    assert fields(load_task(row)) == fields(task)
    text = msgspec.json.encode(row)
    assert fields(TaskReader().task(decode_row(text))) == fields(task)
    assert dump_task(load_task(row)) == row


def test_a_row_has_a_field_for_each_of_a_tasks() -> None:
    assert TaskRow.__struct_fields__ == tuple(attribute.name for attribute in attrs.fields(Task))


def test_a_dumped_task_says_only_what_there_is_to_say() -> None:
    task = Task(env=EnvRef("letters"), scenario="count", args={"key": "${TOKEN}"}, agent_config={"max_steps": 3})
    assert task.model_dump() == {
        "env": {"name": "letters"},
        "scenario": "count",
        "args": {"key": "${TOKEN}"},
        "agent_config": {"max_steps": 3},
    }


def test_a_row_without_arguments_is_a_task_and_one_with_null_is_a_template() -> None:
    assert load_task({"scenario": "ask"}).args == {}
    assert load_task({"scenario": "ask", "args": None}).args is None


def test_null_is_absent_and_what_the_reference_writes_beside_a_call_is_passed_over() -> None:
    call = {"name": "x", "arguments": None, "id": None, "annotation": None, "meta": None, "task": None}
    row = {**dict.fromkeys(TaskRow.__struct_fields__), "args": {}, "validation": [call]}
    assert fields(load_task(row)) == fields(Task(args={}, validation=[ToolCall("x")]))
    assert problems_of(row, "task") == []


@pytest.mark.parametrize(
    ("row", "env"),
    [
        ({"env": "letters"}, EnvRef("letters")),
        ({"env": {"name": "letters"}}, EnvRef("letters")),
        ({"scenario": "letters:count"}, EnvRef("letters")),
        ({"scenario": "hub:count", "env": "letters"}, EnvRef("letters")),
        ({"scenario": "count"}, None),
    ],
)
def test_where_the_environments_name_comes_from(row: dict[str, Any], env: EnvRef | None) -> None:
    assert load_task(row).env == env


def test_tasks_of_one_list_share_references_and_nothing_else() -> None:
    row = {"env": "letters", "args": {"x": [1]}, "metadata": {}}
    one, two = load_tasks([row, row])
    assert one.env is two.env
    one.args["y"] = one.metadata["y"] = 1
    assert (two.args, two.metadata, row) == (
        {"x": [1]}, {}, {"env": "letters", "args": {"x": [1]}, "metadata": {}}
    )  # fmt: skip


def test_what_has_no_json_form_is_named() -> None:
    with pytest.raises(TaskDataError, match=r"@ task.metadata$"):
        dump_task(Task(metadata={"x": object()}))


# --- mistakes ---------------------------------------------------------------------------------------------------------


WORDS = [*TaskRow.__struct_fields__, "args2", "name", "arguments", "max_steps", "allowed_tools", "backend", "meta"]
nested = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(WORDS), nested, max_size=4))
def test_both_ways_of_judging_a_row_agree(row: dict[str, Any]) -> None:
    """The fast way refuses exactly those rows that the thorough one has something to say about."""
    found = problems_of(row, "task")
    assert problems_in([row]) == [problem.replace(" @ task", " @ tasks[0]") for problem in found]


@given(json_data)
def test_any_json_is_a_task_or_a_list_of_problems(data: Any) -> None:
    assert all(" @ tasks[0]" in problem for problem in problems_in([data]))


def test_every_mistake_of_every_row_is_named() -> None:
    rows: list[Any] = [
        {"env": {"name": "a", "foo": 1}, "slug": " a"},
        {"slug": "x", "validation": [{}, {"name": "x", "arguments": []}]},
        5,
        {"slug": "x", "graders": ["exact"], "agent_config": {"max_steps": 0, "allowed_tools": "abc"}},
        {"columns": {"level": 3}, "arg": {}},
        {"prompt": "Do it", "mcp_config": {}},
    ]
    with pytest.raises(TaskDataError) as caught:
        load_tasks(rows, "rows")
    assert list(caught.value.problems) == [
        "unknown field 'foo' @ rows[0].env",
        "expected 1 to 100 characters without space around them, got str ' a' @ rows[0].slug",
        "required field 'name' is missing @ rows[1].validation[0].name",
        "expected an object, got list [] @ rows[1].validation[1].arguments",
        "expected an object, got int 5 @ rows[2]",
        "expected a list, got str 'abc' @ rows[3].agent_config.allowed_tools",
        "expected 1 or more, got int 0 @ rows[3].agent_config.max_steps",
        "expected an object, got str 'exact' @ rows[3].graders[0]",
        "unknown field 'arg' @ rows[4]; did you mean 'args'?",
        "a LegacyTask (with prompt and mcp_config), which hud-huggingface reads; pip install it @ rows[5]",
    ]


def test_slugs_are_unique() -> None:
    with pytest.raises(TaskDataError, match=r"^slug 'x' is that of tasks\[0\] too; slugs must be unique @ tasks\[2\]"):
        load_tasks([{"slug": "x"}, {"slug": "y"}, {"slug": "x"}])


@pytest.mark.parametrize("rows", [{"slug": "x"}, "tasks", b"tasks"])
def test_a_list_must_be_one(rows: Any) -> None:
    with pytest.raises(TaskDataError, match=r"expected a list of tasks, got \w+ @ tasks$"):
        load_tasks(rows)


@pytest.mark.parametrize("text", [b"{", b'{"args": {}} x', b"\xff", b'{"answer": NaN}', b"[" * 100_000])
def test_text_that_is_not_json(text: bytes) -> None:
    with pytest.raises(TaskDataError, match=r"not JSON: .* @ tasks\[3\]$"):
        decode_row(text, "tasks[3]")


# --- for plugins ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Part:
    number: int
    ratio: float = 0.0


@attrs.frozen
class Whole:
    parts: list[Part]
    by_name: dict[str, Part] = attrs.field(factory=dict)


def test_plugins_have_a_converter_as_strict_as_this() -> None:
    strict = converter()
    assert strict.structure({"parts": [{"number": 1, "ratio": 2}]}, Whole) == Whole([Part(1, 2.0)])
    with pytest.raises(BaseValidationError) as caught:
        strict.structure({"parts": [{"number": True}, {"numbr": 1}], "by_name": {"x": {"number": "1"}}}, Whole)
    assert list(lines_of(caught.value, "whole")) == [
        "expected int, got bool True @ whole.parts[0].number",
        "required field 'number' is missing @ whole.parts[1].number",
        "unknown field 'numbr' @ whole.parts[1]; did you mean 'number'?",
        "expected int, got str '1' @ whole.by_name['x'].number",
    ]
    assert converter() is not strict


LEGACY = Path(__file__).parents[3] / "shared" / "cases" / "legacy"


@pytest.mark.skipif(not LEGACY.is_dir(), reason=f"{os.path.relpath(LEGACY)} is not there: no task files of others")
def test_task_files_of_others_are_read_or_refused_in_words() -> None:
    read = 0
    for path in sorted(LEGACY.glob("*.json")):
        rows = json.loads(path.read_bytes())
        rows = rows if isinstance(rows, list) else [rows]
        found = problems_in(rows)
        assert all(" @ tasks[" in problem for problem in found)
        read += 0 if found else len(rows)
    assert read
