"""Task files in JSON and JSONL: every mistake at once, environments beside the file, and files of any length."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hud_local
from hud_core import Kernel, Provider, TaskSource, hookimpl
from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError, TaskDataError
from hud_core.model.task import EnvRef, Task
from hud_local.imports import shown
from hud_local.rows import PROBLEMS_SHOWN, RowSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from conftest import Write


async def load(path: Path, source: RowSource | None = None) -> list[Task]:
    return [task async for task in (source or RowSource()).load(str(path))]


async def problems(path: Path) -> list[str]:
    with pytest.raises(TaskDataError) as caught:
        await load(path)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return list(caught.value.problems)


TEN = [
    {"slug": "fine", "scenario": "count", "args": {}},
    {"slug": 3},
    {"agent_config": {"max_steps": "ten"}},
    {"args2": {}},
    {"validation": [{"arguments": {}}]},
    {"agent_config": {"allowed_tools": "abc"}},
    {"metadata": [1]},
    {"env": 5},
    {"slug": "fine"},
    {"scenario": ["count"], "answers": 3},
]
SAYS = [
    "expected str, got int 3 @ tasks[1].slug",
    "expected int, got str 'ten' @ tasks[2].agent_config.max_steps",
    "unknown field 'args2' @ tasks[3]; did you mean 'args'?",
    "required field 'name' is missing @ tasks[4].validation[0].name",
    "expected a list, got str 'abc' @ tasks[5].agent_config.allowed_tools",
    "expected an object, got list [1] @ tasks[6].metadata",
    "expected a name or an object, got int 5 @ tasks[7].env",
    "expected str, got list ['count'] @ tasks[9].scenario",
    "unknown field 'answers' @ tasks[9]; did you mean 'answer'?",
]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
async def test_ten_mistakes_are_ten_lines_and_nothing_runs(write: Write, suffix: str) -> None:
    text = json.dumps(TEN, indent=1) if suffix == "json" else "\n\n".join(map(json.dumps, TEN))
    path = write(f"tasks.{suffix}", text)
    lines = await problems(path)
    assert len(lines) == 10
    place = str(path) if suffix == "json" else f"{path}:3"
    assert lines[0] == f"{SAYS[0]} ({place})"
    assert [line.rpartition(" (")[0] for line in lines[:9]] == SAYS
    assert lines[9].startswith("slug 'fine' is that of tasks[0] (")
    assert " @ tasks[8].slug (" in lines[9]


async def test_a_line_that_is_not_json_does_not_hide_the_others(write: Write) -> None:
    path = write("tasks.jsonl", '{"slug": "a"\n{"slug": 1}\n[{"slug": "b"}, {"slug": 2}, 3]\n[1, \n')
    lines = await problems(path)
    assert [line.partition(" @ ")[2].partition(" (")[0] for line in lines] == [
        "tasks[0]", "tasks[1].slug", "tasks[3].slug", "tasks[4]", "tasks[5]", "tasks[6]",
    ]  # fmt: skip
    assert lines[0].startswith("not JSON: ")
    assert lines[5].startswith("not JSON: ")
    assert lines[5].endswith(f"({path}:4)")


GOOD = '[ {"slug": "a"} ,\n{"slug": "b"}'


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (f'{GOOD}, {{"slu', 2),
        (f"{GOOD},", 2),
        (GOOD, 2),
        (f"{GOOD},]", 2),
        (f'{GOOD} {{"slug": "c"}}]', 2),
        (f"{GOOD}] more", 2),
        (f'{GOOD}, {{"slug": NaN}}, {{"slug": "d"}}]', 2),
        ("[", 0),
        ('[{"slug": "a"}, ' + "[" * 100_000, 1),
    ],
)
async def test_the_row_where_a_list_is_damaged_is_named(write: Write, text: str, row: int) -> None:
    (line,) = await problems(write("tasks.json", text))
    assert line.startswith("not JSON: ")
    assert f" @ tasks[{row}] (" in line


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
async def test_another_encoding_is_told_once(write: Write, suffix: str, encoding: str) -> None:
    path = write(f"tasks.{suffix}", "")
    Path(path).write_bytes('{"slug": "größe"}\n'.encode(encoding))
    (line,) = await problems(path)
    assert line.startswith("not UTF-8 text; save it as UTF-8 @ ")


async def test_very_many_mistakes_are_counted(write: Write) -> None:
    path = write("tasks.jsonl", '{"slug": 1}\n' * (PROBLEMS_SHOWN + 7))
    lines = await problems(path)
    assert len(lines) == PROBLEMS_SHOWN + 1
    assert lines[-1] == f"and 7 more mistakes ({path})"


@pytest.mark.parametrize(
    ("name", "text", "slugs"),
    [
        ("a.json", '[{"slug": "a"}, {"slug": "b"}]', ["a", "b"]),
        ("a.json", '{"slug": "a"}', ["a"]),
        ("a.json", '\ufeff [{"slug": "a"}]', ["a"]),
        ("a.jsonl", '{"slug": "a"}\n\n   \n{"slug": "b"}', ["a", "b"]),
        ("a.jsonl", '[{"slug": "a"}, {"slug": "b"}]\r\n{"slug": "c"}\r\n', ["a", "b", "c"]),
        ("a.jsonl", '\ufeff{"slug": "a"}', ["a"]),
    ],
)
async def test_forms_of_files(write: Write, name: str, text: str, slugs: list[str]) -> None:
    assert [task.slug for task in await load(write(name, text))] == slugs


@pytest.mark.parametrize("text", ["", "[]", "\n\n"])
async def test_a_file_without_rows(write: Write, text: str) -> None:
    with pytest.raises(ConfigError, match="it has no rows"):
        await load(write("tasks.jsonl", text))


async def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^no such file: nix/nix.json$"):
        await load(Path("nix/nix.json"))


# --- environments -----------------------------------------------------------------------------------------------------


def row(**fields: Any) -> str:
    return json.dumps({"scenario": "count", "args": {"text": "x", "letter": "x"}, **fields})


@pytest.mark.parametrize("env", ["letters", "Letters", {"name": "letters"}])
async def test_the_environment_beside_the_file_is_used(letters: Path, write: Write, env: Any) -> None:
    one, two = await load(write("tasks.jsonl", f"{row(env=env)}\n{row(env=env)}"))
    assert isinstance(one.env, Environment)
    assert one.env is two.env


async def test_rows_without_an_environment_take_the_one_that_has_their_scenario(letters: Path, write: Write) -> None:
    known, unknown = await load(write("data/tasks.jsonl", f'{row()}\n{{"scenario": "other", "args": {{}}}}'))
    assert isinstance(known.env, Environment)
    assert unknown.env is None


async def test_other_environments_stay_references(letters: Path, write: Write) -> None:
    docker = {"name": "letters", "backend": "docker", "options": {"image": "x"}}
    tasks = await load(
        write("tasks.jsonl", "\n".join([row(env="elsewhere"), row(env=docker), row(scenario="e:count")]))
    )
    assert [task.env for task in tasks] == [
        EnvRef("elsewhere"), EnvRef("letters", "docker", {"image": "x"}), EnvRef("e"),
    ]  # fmt: skip


async def test_environments_of_other_files(letters: Path, write: Write) -> None:
    (letters / "env.py").rename(letters / "worlds.py")
    path = write("tasks.jsonl", row(env="letters"))
    assert isinstance((await load(path))[0].env, EnvRef)
    source = RowSource(environments=[str(letters / "worlds.py")])
    assert isinstance((await load(path, source))[0].env, Environment)


async def test_arguments_that_the_scenario_does_not_take_are_mistakes_too(letters: Path, write: Write) -> None:
    path = write("tasks.jsonl", row(env="letters", args={"text": 3, "lettr": "x"}))
    lines = await problems(path)
    assert len(lines) == 3
    assert all(f" @ tasks[0].args ({path}:1)" in line for line in lines)
    for name in ("text", "lettr", "letter"):
        assert any(f"'{name}'" in line for line in lines)


async def test_an_environment_that_cannot_be_imported_is_not_passed_over(write: Write) -> None:
    write("env.py", "1 / 0\n")
    with pytest.raises(ConfigError, match=r"cannot import .*env.py: ZeroDivisionError"):
        await load(write("tasks.jsonl", row(env="letters")))


async def test_env_py_is_imported_only_for_rows_that_may_need_it(write: Write) -> None:
    write("env.py", "1 / 0\n")
    assert await load(write("tasks.jsonl", row(env={"name": "e", "backend": "docker"})))


# --- size -------------------------------------------------------------------------------------------------------------


def test_long_files_are_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    with path.open("w") as file:
        file.writelines(f"{row(env='elsewhere', slug=f'task-{number}')}\n" for number in range(30_000))

    async def count() -> int:
        number = 0
        async for task in RowSource().load(str(path)):
            assert task.slug == f"task-{number}"
            number += 1
        return number

    tracemalloc.start()
    try:
        assert anyio.run(count) == 30_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000  # 16 MB of it find slugs that come twice; the tasks alone would be 30 MB


@given(st.lists(st.text(min_size=1, max_size=3).filter(lambda slug: slug == slug.strip()), min_size=1, max_size=40))
def test_exactly_the_slugs_that_come_twice_are_found(
    tmp_path_factory: pytest.TempPathFactory, slugs: list[str]
) -> None:
    path = tmp_path_factory.mktemp("slugs") / "tasks.jsonl"
    path.write_text("\n".join(json.dumps({"slug": slug}) for slug in slugs))
    twice = len(slugs) - len(set(slugs))
    if twice:
        assert len(anyio.run(problems, path)) == twice
    else:
        assert [task.slug for task in anyio.run(load, path)] == slugs


async def test_a_line_without_an_end_is_named_and_never_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"slug": "a"}\n')
    with path.open("r+b") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(TaskDataError, match=r"a line longer than 64 MB @ .*tasks\.jsonl:2"):
            await load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 28


class Questions(TaskSource):
    """Knows rows of a question."""

    def claims(self, ref: str) -> bool:
        return False

    async def load(self, ref: str) -> AsyncIterator[Task]:
        raise NotImplementedError
        yield

    def read_row(self, row: Mapping[str, Any], where: str) -> Task | None:
        if "question" not in row:
            return None
        if not row["question"]:
            raise TaskDataError([f"nothing is asked @ {where}.question"])
        return Task(scenario="ask", args={"question": row["question"]}, slug=row.get("slug"))


class QuestionsPlugin:
    @hookimpl
    def hud_task_sources(self) -> Iterable[Provider[TaskSource]]:
        yield Provider("questions", lambda: Questions, "for tests")


@pytest.fixture
def knowing() -> RowSource:
    """The source, found by a kernel that knows rows of another form."""
    source = Kernel(autoload=False, plugins=[hud_local, QuestionsPlugin()]).source_for("tasks.jsonl")
    assert isinstance(source, RowSource)
    return source


async def test_rows_that_another_source_knows_stand_among_ours(tmp_path: Path, knowing: RowSource) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"slug": "ours", "scenario": "count"}\n[{"question": "why?"}]\n')
    assert [(task.scenario, task.args) for task in await load(path, knowing)] == [
        ("count", {}), ("ask", {"question": "why?"}),
    ]  # fmt: skip
    assert await problems(path) == ["unknown field 'question' @ tasks[1] (" + shown(path) + ":2)"]


async def test_mistakes_of_rows_that_another_source_knows_are_named(tmp_path: Path, knowing: RowSource) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"question": ""}\n{"slug": 5}\n{"slug": "a"}\n{"question": "why?", "slug": "a"}\n')
    with pytest.raises(TaskDataError) as caught:
        await load(path, knowing)
    assert [problem.partition(" (")[0] for problem in caught.value.problems] == [
        "nothing is asked @ tasks[0].question",
        "expected str, got int 5 @ tasks[1].slug",
        "slug 'a' is that of tasks[2]",
    ]
