"""Rows in files: what comes out is what went in, and damage is told with its place."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import tracemalloc

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hud_core.errors import TaskDataError
from hud_huggingface.columns import decoded, not_json
from hud_huggingface.files import LONGEST_ROW, rows_of
from hud_huggingface.formats import format_of
from hud_huggingface.parquet import write_rows

ROWS = [
    {"id": "one", "prompt": "Größe 📏?", "mcp_config": {"a": {"url": "${URL:http://x}"}}},
    {"id": "two", "prompt": "", "mcp_config": {}, "metadata": {"n": 1.5}},
]


def data_of(path, name=None):
    return [row.data for row in rows_of(path, name or path.name)]


def problems_of(path):
    try:
        return [f"{row.problem} @ {row.place}" for row in rows_of(path, path.name) if row.problem]
    except TaskDataError as error:
        return list(error.problems)


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TEXTS = {
    "a.json": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2) + "\n",
    "lines.json": lines(ROWS),  # what datasets' to_json() writes
    "a.jsonl": lines(ROWS),
    "blank-lines.jsonl": "\n" + lines(ROWS).replace("\n", "\r\n\n"),
    "lists.ndjson": json.dumps(ROWS),
    "no-newline.jsonl": lines(ROWS).rstrip(),
    "mark.json": "\ufeff" + json.dumps(ROWS),
    "mark.jsonl": "\ufeff" + lines(ROWS),
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_form_of_json_gives_the_same_rows(tmp_path, name):
    assert data_of(write(tmp_path, name, TEXTS[name])) == ROWS


@pytest.mark.parametrize(("end", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_files_may_be_compressed(tmp_path, end, compress):
    assert data_of(write(tmp_path, "a.jsonl" + end, compress(lines(ROWS).encode()))) == ROWS


def test_one_object_is_one_row(tmp_path):
    assert data_of(write(tmp_path, "one.json", json.dumps(ROWS[0]))) == ROWS[:1]


def test_rows_know_where_they_are(tmp_path):
    path = write(tmp_path, "a.jsonl", "\n" + lines(ROWS))
    assert [row.place for row in rows_of(path, "org/name: a.jsonl")] == ["org/name: a.jsonl:2", "org/name: a.jsonl:3"]


def test_the_name_says_the_format_not_the_path(tmp_path):
    """The Hub's cache and downloads keep files under other names."""
    assert data_of(write(tmp_path, "0a1b2c", lines(ROWS)), "x.jsonl") == ROWS


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.JSONL", "jsonl"), ("a.csv.gz", "csv"), ("a.parquet", "parquet"), ("a.parquet.gz", None), ("a.txt", None)],
)
def test_format_of(name, kind):
    assert format_of(name) == kind


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_holds_structured_fields_as_json_text(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "prompt", "mcp_config", "setup_tool", "metadata"])
        table.writerow(["", '["stays text"]', '{"a": {"url": "x,y"}}', "", "null"])
    (row,) = rows_of(path, path.name)
    assert decoded(row, "tasks[0]") == {"prompt": '["stays text"]', "mcp_config": {"a": {"url": "x,y"}}}


def test_tabs_separate_too(tmp_path):
    assert data_of(write(tmp_path, "a.tsv", "id\tprompt\n1\ta,b\n")) == [{"id": "1", "prompt": "a,b"}]


def test_each_field_that_is_no_json_is_named(tmp_path):
    path = write(tmp_path, "a.csv", 'prompt,mcp_config,setup_tool\nhi,"{""a"": ",[1\n')
    (row,) = rows_of(path, path.name)
    with pytest.raises(TaskDataError) as info:
        decoded(row, "tasks[0]")
    assert [problem.partition(" @ ")[2] for problem in info.value.problems] == [
        "tasks[0].mcp_config (a.csv, row 0 (line 2))",
        "tasks[0].setup_tool (a.csv, row 0 (line 2))",
    ]


def test_parquet_of_other_tools(tmp_path):
    """Text columns that hold JSON, nested columns, dates, and nulls."""
    path = tmp_path / "a.parquet"
    table = pa.table({
        "id": ["a", None],
        "prompt": ["p", "q"],
        "mcp_config": pa.array([{"x": {"url": "http://u"}}, {"y": {"command": "c", "args": ["1"]}}]),
        "args": ['{"n": 1}', ""],
        "metadata": pa.array([[("k", 1)], []], type=pa.map_(pa.string(), pa.int64())),
        "made": pa.array([0, None], type=pa.timestamp("s")),
        "score": pa.array([float("nan"), 1.0]),
        "__index_level_0__": [7, 8],
    })  # fmt: skip
    parquet.write_table(table, path)
    rows = [decoded(row, "tasks[0]") for row in rows_of(path, path.name)]
    assert rows == [
        {
            "id": "a",
            "prompt": "p",
            "mcp_config": {"x": {"url": "http://u"}},
            "args": {"n": 1},
            "metadata": {"k": 1},
            "made": "1970-01-01T00:00:00",
        },
        {
            "prompt": "q",
            "mcp_config": {"y": {"command": "c", "args": ["1"]}},
            "metadata": [],
            "score": 1.0,
        },
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TEMPLATES = st.sampled_from(["${A}", "${A:b}", "$A", "$$", "${", "pre ${A:-${B}} post", "$5"])
FIELDS = st.sampled_from(["id", "prompt", "mcp_config", "args", "answer", "", "a.b", "metadata"])
RANDOM_ROWS = st.lists(
    st.dictionaries(FIELDS | st.text(max_size=4), JSON | TEMPLATES, max_size=5), min_size=1, max_size=5
)
SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@SETTINGS
@given(RANDOM_ROWS.filter(any))
def test_any_rows_come_back_out_of_parquet(tmp_path, rows):
    path = tmp_path / "a.parquet"
    write_rows(rows, path)
    assert same(data_of(path), rows)


@SETTINGS
@given(RANDOM_ROWS)
def test_any_rows_come_back_out_of_text(tmp_path, rows):
    for name in ("a.json", "a.jsonl"):
        path = write(tmp_path, name, json.dumps(rows) if name == "a.json" else lines(rows))
        assert same(data_of(path), rows)


def same(ours, theirs):
    """Compare with types: 1, 1.0 and True are equal to Python."""
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def test_what_has_no_json_form_is_named():
    row = {"a": [1, {2, 3}], "b": {1: 2}, "c": float("nan"), "d": "\ud800", "e": b"", "f": (1, "ok")}
    assert [problem.partition(" @ ")[2] for problem in not_json(row, "tasks[3]")] == [
        "tasks[3].a[1]",
        "tasks[3].b",
        "tasks[3].c",
        "tasks[3].d",
        "tasks[3].e",
    ]


# --- damage -----------------------------------------------------------------------------------------------------------


def parquet_bytes(tmp_path, **columns):
    parquet.write_table(pa.table(columns), tmp_path / "whole.parquet")
    return (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "says", "place"),
    [
        ("cut.json", '[{"id": "a"}, {"id":', "not JSON", "cut.json, row 1"),
        ("cut.json", '[{"id": "a"}', "the file is cut off", "cut.json, after row 0"),
        ("open.json", "[", "the file is cut off", "open.json, at the end"),
        ("comma.json", '[{"id": 1} {"id": 2}]', "expected ',', found '{'", "comma.json, after row 0"),
        ("comma.json", '[{"id": 1},]', "not JSON", "comma.json, row 1"),
        ("nan.json", '[{"id": NaN}]', "a value is NaN", "nan.json, row 0"),
        ("more.json", "[] {}", "more text after the end", "more.json"),
        ("deep.json", "[" * 100_000, "nested too deeply", "deep.json, row 0"),
        ("latin.json", '[{"id": "é"}]'.encode("latin-1"), "not UTF-8", "latin.json"),
        ("wide.json", '[{"id": "a"}]'.encode("utf-16"), "not UTF-8", "wide.json"),
        ("bad.jsonl", '{"id": "a"}\n{"id":\n{"id": "c"}\n', "not JSON", "bad.jsonl:2"),
        ("deep.jsonl", "[" * 100_000 + "]" * 100_000, "nested too deeply", "deep.jsonl:1"),
        ("latin.jsonl", '{"id": "é"}\n'.encode("latin-1"), "not UTF-8", "latin.jsonl:1"),
        ("wide.jsonl", '{"id": "a"}\n'.encode("utf-16"), "not UTF-8", "wide.jsonl:1"),
        ("cut.csv", 'id,prompt\n1,"never', "cut off inside quotes", "cut.csv, row 0"),
        ("short.csv", "id,prompt\n1\n", "1 fields in a row of a table with 2 columns", "short.csv, row 0 (line 2)"),
        ("long.csv", "id\n1,2\n", "2 fields in a row of a table with 1 columns", "long.csv, row 0 (line 2)"),
        ("twice.csv", "id,id\n1,2\n", "two columns are called 'id'", "twice.csv"),
        ("latin.csv", "id\né\n".encode("latin-1"), "not UTF-8", "latin.csv, row 0"),
        ("huge.csv", "id\n" + "x" * 200_000 + "\n", "use JSONL or Parquet", "huge.csv, row 0"),
        ("no.parquet", "id,prompt\n", "no Parquet file", "no.parquet"),
        ("empty.parquet", "", "no Parquet file", "empty.parquet"),
        ("no.jsonl.gz", '{"id": 1}', "the compressed data is damaged", "no.jsonl.gz"),
        ("cut.jsonl.gz", gzip.compress(b'{"id": 1}\n' * 99, mtime=0)[:-9], "damaged or cut off", "cut.jsonl.gz"),
    ],
)  # fmt: skip
def test_damage_is_told_with_its_place(tmp_path, name, text, says, place):
    (problem,) = problems_of(write(tmp_path, name, text))
    what, _, where = problem.partition(" @ ")
    assert says in what
    assert where.startswith(place)


def test_a_row_that_is_wrong_does_not_hide_those_after_it(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"id": 1}\nnope\n{"id": 3}\n')
    assert [(row.data, bool(row.problem)) for row in rows_of(path, path.name)] == [
        ({"id": 1}, False), (None, True), ({"id": 3}, False),
    ]  # fmt: skip


def test_parquet_that_is_cut_off_or_damaged(tmp_path):
    whole = parquet_bytes(tmp_path, id=[f"task {n}" for n in range(5000)])
    (cut,) = problems_of(write(tmp_path, "cut.parquet", whole[: len(whole) // 2]))
    assert cut.startswith("no Parquet file, or one that is damaged or cut off")
    broken = whole[:100] + bytes(len(whole) // 2 - 100) + whole[len(whole) // 2 :]
    (problem,) = problems_of(write(tmp_path, "broken.parquet", broken))
    assert "damaged" in problem
    assert "broken.parquet" in problem


def test_columns_without_a_json_form_are_all_named(tmp_path):
    parquet_bytes(tmp_path, image=[b"1"], sizes=[[b"2"]], id=["a"])
    problems = problems_of(tmp_path / "whole.parquet")
    assert [problem.rpartition("column ")[2] for problem in problems] == ["'image'", "'sizes'"]


@pytest.mark.slow
def test_a_row_without_an_end_never_fills_the_memory(tmp_path):
    """A line of 1 GB, which takes no room on the disk."""
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"id": "a"}\n')
        file.truncate(1 << 30)
    with path.open("ab") as file:
        file.write(b'\n{"id": "c"}\n')
    tracemalloc.start()
    try:
        rows = list(rows_of(path, path.name))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.data for row in rows] == [{"id": "a"}, None, {"id": "c"}]
    assert (rows[1].problem, rows[1].place) == ("a line longer than 64 MB", "long.jsonl:2")
    assert peak < 3 * LONGEST_ROW


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("long.json", b'[{"id": "a', "long.json, row 0"), ("long.csv", b"id\na\n", "long.csv:3")],
)
def test_a_value_without_an_end_never_fills_the_memory(tmp_path, name, text, place):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(text)
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        (problem,) = problems_of(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem.endswith(f"@ {place}")
    assert peak < 6 * LONGEST_ROW


@pytest.mark.slow
def test_a_row_of_a_table_that_is_too_long_does_not_hide_the_others(tmp_path):
    path = tmp_path / "a.parquet"
    values = ["a", "x" * (LONGEST_ROW + 1), "c"]
    parquet.write_table(pa.table({"id": values}), path, compression="zstd")
    assert [row.data and row.data["id"] for row in rows_of(path, path.name)] == ["a", None, "c"]
    assert problems_of(path) == ["longer than 64 MB @ a.parquet, row 1"]
