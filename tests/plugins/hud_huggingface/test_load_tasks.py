"""Loading tasks of files, folders and rows: everything or nothing, and every mistake with its place."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from hud_core import EnvRef, Task
from hud_core.errors import ConfigError, TaskDataError
from hud_huggingface import LegacyTask, LegacyTaskWarning, iter_tasks, load_tasks
from hud_huggingface.loading import PROBLEMS_SHOWN
from hud_huggingface.parquet import write_rows

LEGACY = Path(__file__).parents[4] / "shared" / "cases" / "legacy"
V4 = {"id": "old", "prompt": "p", "mcp_config": {"s": {"url": "${URL:u}"}}, "evaluate_tool": {"name": "e"}}
V5 = {"slug": "new", "env": {"name": "letters"}, "scenario": "count", "args": {"n": 1}}

quiet = pytest.mark.filterwarnings("ignore:LegacyTask is deprecated:DeprecationWarning")


def write(name, rows):
    text = json.dumps(rows) if name.endswith("json") else "".join(json.dumps(row) + "\n" for row in rows)
    Path(name).write_text(text)
    return name


@quiet
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.parquet"])
def test_old_and_new_rows_may_stand_in_one_file(name):
    if name.endswith("parquet"):
        write_rows([V4, V5], Path(name))
    else:
        write(name, [V4, V5])
    old, new = load_tasks(name)
    assert isinstance(old, LegacyTask)
    assert isinstance(new, Task)
    assert (old.id, new.slug, new.args) == ("old", "new", {"n": 1})
    assert load_tasks(name, raw=True) == [V4, V5]
    assert [type(task) for task in iter_tasks(name)] == [LegacyTask, Task]


@quiet
def test_rows_and_paths_are_sources():
    assert load_tasks([V4]) == load_tasks(Path(write("a.json", [V4])))


def test_what_is_deprecated_or_corrected_is_said_once():
    rows = [{**V4, "id": 1}, {**V4, "id": 2}]
    with pytest.warns() as said:
        load_tasks(rows)
    texts = [str(one.message) for one in said]
    assert len(texts) == 2
    assert texts[0].startswith("LegacyTask is deprecated")
    assert texts[1] == "'id' is text, and was written as a number (2 rows)"
    assert {one.filename for one in said} == {__file__}


@quiet
def test_folders_hold_splits():
    for name in ("set/train.jsonl", "set/test.jsonl"):
        Path("set").mkdir(exist_ok=True)
        write(name, [{**V4, "id": name}])
    assert load_tasks("set")[0].id == "set/train.jsonl"
    assert load_tasks("set:test")[0].id == load_tasks("set", split="test")[0].id == "set/test.jsonl"
    with pytest.raises(ConfigError, match="set: split 'dev' is not there; there are train, test"):
        load_tasks("set:dev")


@quiet
def test_a_folder_follows_its_card():
    Path("set").mkdir()
    write("set/one.jsonl", [V4])
    write("set/two.jsonl", [V5])
    Path("set/README.md").write_text("---\nconfigs:\n- config_name: b\n  data_files: two.jsonl\n---\n")
    assert load_tasks("set", raw=True) == [V5]
    assert load_tasks("set", config="b", raw=True) == [V5]


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("gone.json", {}, "no such file: gone.json"),
        ("gone", {}, "no such file or dataset: 'gone' (datasets on the Hub are named org/name)"),
        ("hf://datasets/name", {}, "hf://datasets/name names no dataset; one on the Hub is hf://datasets/org/name"),
        ("org/name", {"split": "train[:10]"}, "org/name:train[:10]: a split is named as a whole; take of its rows"),
        ("notes.txt", {}, "notes.txt is no file of rows: its name must end in .json"),
        ("empty.json", {}, "there are no rows in empty.json"),
        ("empty.jsonl", {}, "there are no rows in empty.jsonl"),
        ("folder", {}, "there are no files of rows (.json, .jsonl"),
        ("empty.json", {"split": "test"}, "empty.json has no splits to choose from"),
        ("empty.json", {"revision": "v1"}, "empty.json has no revisions"),
        ("org/name:test", {"split": "train"}, "org/name:test names the split 'test' already, 'train' is another"),
        ([], {"split": "test"}, "rows have no split"),
    ],
)
def test_what_cannot_be_loaded_is_told(source, options, says):
    Path("notes.txt").write_text("hi")
    Path("empty.json").write_text("[]")
    Path("empty.jsonl").write_text("\n")
    Path("folder").mkdir()
    with pytest.raises(ConfigError) as info:
        load_tasks(source, **options)
    assert str(info.value).startswith(says)


# --- mistakes ---------------------------------------------------------------------------------------------------------


FIELDS = [
    ({**V4, "prompt": None}, "prompt"),
    ({**V4, "prompt": 1}, "prompt"),
    ({**V4, "id": {}}, "id"),
    ({**V4, "mcp_config": 1}, "mcp_config"),
    ({**V4, "mcp_config": "{"}, "mcp_config"),
    ({**V4, "mcp_config": {}}, "mcp_config"),
    ({**V4, "setup_tool": 1}, "setup_tool"),
    ({**V4, "setup_tool": "[1"}, "setup_tool"),
    ({**V4, "evaluate_tool": {"name": 1}}, "evaluate_tool"),
    ({**V4, "agent_config": {"max_step": 1}}, "agent_config"),
    ({**V4, "metadata": []}, "metadata"),
    ({"prompt": "p"}, "mcp_config"),
    ({**V5, "slug": ""}, "slug"),
    ({**V5, "args": []}, "args"),
    ({**V5, "args": "{'a'"}, "args"),
    ({**V5, "env": 1}, "env"),
    ({**V5, "columns": 1}, "columns"),
    ({**V5, "validation": [{}]}, "validation"),
    ({**V5, "agent_config": {"max_steps": 0}}, "agent_config"),
]


@quiet
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize(("row", "field"), FIELDS)
def test_each_wrong_field_is_named_with_its_row_and_file(row, field, name):
    if name.endswith("parquet"):
        write_rows([V4, row], Path(name))
    else:
        write(name, [V4, row])
    with pytest.raises(TaskDataError) as info:
        load_tasks(name)
    place = "(a.jsonl:2)" if name == "a.jsonl" else "(a.parquet, row 1)"
    (problem,) = info.value.problems
    assert f"@ tasks[1].{field}" in problem or (f"'{field}'" in problem and "@ tasks[1]" in problem)
    assert problem.endswith(place)
    with pytest.raises(TaskDataError, match="good rows before it: 1"):
        list(iter_tasks(name))


def test_a_new_row_with_a_field_of_old_ones_is_told_so():
    with pytest.raises(TaskDataError, match=r"unknown field 'prompt' @ tasks\[0\] \(row 0\)"):
        load_tasks([{**V5, "prompt": "p"}])


def test_a_new_row_s_environment_may_be_called_so():
    rows = [{"environment": "letters", "scenario": "count"}] * 2
    with pytest.warns(LegacyTaskWarning) as said:
        tasks = load_tasks(rows)
    assert [str(one.message) for one in said] == ["'environment' is 'env' (2 rows)"]
    assert [task.env for task in tasks] == [EnvRef("letters")] * 2
    with pytest.raises(TaskDataError, match="unknown field 'environment'"):
        load_tasks([{"environment": "letters", "env": "letters", "scenario": "count"}])
    with pytest.raises(TaskDataError, match=r"tasks\[0\]\.env"):
        load_tasks([{"environment": 5, "scenario": "count"}])


@quiet
@pytest.mark.parametrize("text", ["5", '"x"', "null", "[[1]]"])
def test_a_row_that_is_no_object_is_named(text):
    Path("a.jsonl").write_text(f"{json.dumps(V4)}\n{text}\n")
    with pytest.raises(TaskDataError, match=r"expected an object, got \w+ .* @ tasks\[1\] \(a\.jsonl:2\)"):
        load_tasks("a.jsonl")
    with pytest.raises(TaskDataError, match="expected an object"):
        load_tasks("a.jsonl", raw=True)


def test_one_row_is_no_list_of_rows():
    with pytest.raises(TaskDataError, match="expected a list of rows, got one row @ tasks"):
        load_tasks(V5)


def test_two_tasks_of_one_slug_are_named_with_both_places():
    write("a.jsonl", [V5, {**V5, "slug": "x"}, V5])
    with pytest.raises(TaskDataError) as info:
        load_tasks("a.jsonl")
    assert info.value.problems == (
        "slug 'new' is that of tasks[0] (a.jsonl:1) too; slugs must be unique @ tasks[2].slug (a.jsonl:3)",
    )


@quiet
def test_ids_may_come_twice_as_those_of_real_datasets_do():
    assert len(load_tasks([V4, V4])) == 2


def test_very_many_mistakes_are_counted():
    write("a.jsonl", [{"slug": 5}] * (PROBLEMS_SHOWN + 7))
    with pytest.raises(TaskDataError) as info:
        load_tasks("a.jsonl")
    assert len(info.value.problems) == PROBLEMS_SHOWN + 1
    assert info.value.problems[-1] == "and 7 more mistakes"


@quiet
def test_a_stream_gives_the_good_rows_before_the_damage():
    whole = gzip.compress("".join(json.dumps({**V4, "id": os.urandom(40).hex()}) + "\n" for _ in range(400)).encode())
    Path("a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    got = []
    with pytest.raises(
        TaskDataError, match=r"the compressed data is damaged or cut off(.|\n)*good rows before it"
    ) as info:
        got.extend(iter_tasks("a.jsonl.gz"))
    with pytest.raises(TaskDataError):
        load_tasks("a.jsonl.gz")
    assert info.value.problems[-1] != "good rows before it: 0"


def test_a_stream_that_is_left_closes_its_file():
    write("a.jsonl", [V5, {**V5, "slug": "b"}])
    stream = iter_tasks("a.jsonl")
    next(stream)
    stream.close()  # an open file would be a warning, and so an error


# --- rows of real projects --------------------------------------------------------------------------------------------


@quiet
@pytest.mark.filterwarnings("ignore::hud_huggingface.LegacyTaskWarning")
@pytest.mark.skipif(not LEGACY.is_dir(), reason=f"{os.path.relpath(LEGACY)} is not there: no task files of others")
def test_files_of_real_projects_load_and_come_back_out_of_every_form(tmp_path):
    old = 0
    for path in sorted(LEGACY.iterdir()):
        rows = load_tasks(path, raw=True)
        if wrong := [row for row in rows if list(row) == ["id"]]:
            with pytest.raises(TaskDataError) as info:
                load_tasks(path)
            assert len(info.value.problems) == len(wrong)
            continue
        tasks = load_tasks(path)
        old += sum(isinstance(task, LegacyTask) for task in tasks)
        write_rows(rows, tmp_path / "rows.parquet")
        assert load_tasks(tmp_path / "rows.parquet", raw=True) == rows
        assert [task.model_dump() for task in load_tasks(tmp_path / "rows.parquet")] == [t.model_dump() for t in tasks]
    assert old > 500
