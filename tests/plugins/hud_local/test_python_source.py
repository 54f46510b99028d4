"""Task files in Python: order, imports, projects side by side, and what is said about mistakes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hud_core.errors import ConfigError, TaskDataError
from hud_local.python import PythonSource, load_file

if TYPE_CHECKING:
    from conftest import Write

HEADER = "from env import count\n"


def labels(path: Path) -> list[str]:
    return [task.label for _, task in load_file(path)]


def problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_file(path)
    return str(caught.value)


# --- which tasks ------------------------------------------------------------------------------------------------------


def task_lines(*slugs: str) -> str:
    return "".join(f"{s} = count.task('x', 'x'); {s}.slug = '{s}'\n" for s in slugs)


def test_tasks_come_in_the_order_of_their_definition(letters: Path, write: Write) -> None:
    assert labels(write("tasks.py", HEADER + task_lines("zebra", "apple", "mango"))) == ["zebra", "apple", "mango"]


@pytest.mark.parametrize(
    "listed", ["tasks = [mango, zebra]", "tasks = (mango, zebra)", "tasks = {'m': mango, 'z': zebra}",
               "tasks = (t for t in [mango, zebra])"],
)  # fmt: skip
def test_a_list_called_tasks_wins(letters: Path, write: Write, listed: str) -> None:
    path = write("tasks.py", HEADER + task_lines("zebra", "apple", "mango") + listed)
    assert labels(path) == ["mango", "zebra"]


def test_a_task_with_two_names_is_one_task_and_private_ones_are_none(letters: Path, write: Write) -> None:
    lines = task_lines("zebra", "_draft", "apple") + "best = zebra\n"
    assert labels(write("tasks.py", HEADER + lines)) == ["zebra", "apple"]


def test_two_tasks_of_one_slug_are_named_with_both_places(letters: Path, write: Write) -> None:
    path = write("tasks.py", HEADER + "a = count.task('x', 'x')\nb = count.task('y', 'y')\na.slug = b.slug = 'same'\n")
    with pytest.raises(TaskDataError, match=r"slug 'same' is that of a \(.*tasks.py\) too.* @ b \(.*tasks.py\)"):
        load_file(path)


# --- what is missing --------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problem(tmp_path / "nix.py") == f"no such file: {tmp_path / 'nix.py'}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has no list `tasks` and no module-level task"),
        ("easy = [count.task('x', 'x')]", "call the list 'easy' `tasks`"),
        ("tasks = []", "its `tasks` is empty"),
        ("tasks = [count]", "tasks[0] is ScenarioHandle"),
        ("tasks = ['strawberry']", "tasks[0] is str 'strawberry', not a task"),
        ("here = count", "make one of its scenario: count.task(...)"),
    ],
)
def test_a_file_without_tasks_says_what_was_looked_for(letters: Path, write: Write, text: str, says: str) -> None:
    text = text if text.startswith("here") else text.replace("count", "env.scenarios['count']")
    header = HEADER if text.startswith("here") else "from env import env\n"
    assert says in problem(write("tasks.py", header + text))


# --- imports that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import evn", ["No module named 'evn'", "tasks.py:1: import evn", "fix: did you mean 'env'?"]),
        ("import yaml_nope.x", ["tasks.py:1: import yaml_nope.x", "fix: pip install yaml-nope, unless"]),
        ("import env.deeper", ["fix: 'env' is there, 'env.deeper' is not in it"]),
        ("from env import cuont", ["tasks.py:1: from env import cuont", "did you mean 'count'?"]),
        ("x = 1\ny = undefined_name", ["NameError", "tasks.py:2: y = undefined_name"]),
        ("def f(:\n  pass", ["SyntaxError", "tasks.py:1: def f(:"]),
        ("from . import env", ["relative import", "fix: give the folder"]),
        ("import sys\nsys.exit(3)", ["SystemExit: 3", "tasks.py:2: sys.exit(3)", "if __name__ == '__main__':"]),
        ("from env import count\ncount.task(1)", ["scenario 'count'", "tasks.py:2: count.task(1)"]),
    ],
)
def test_an_import_that_fails_shows_file_line_text_and_fix(
    letters: Path, write: Write, text: str, says: list[str]
) -> None:
    shown = problem(write("tasks.py", text))
    assert shown.startswith("cannot import ")
    for part in says:
        assert part in shown


async def test_an_event_loop_at_import_is_explained(letters: Path, write: Write) -> None:
    write(
        "tasks.py",
        "import asyncio\nasync def main(): ...\nc = main()\ntry:\n    asyncio.run(c)\nfinally:\n    c.close()",
    )
    with pytest.raises(ConfigError) as caught:
        [task async for task in PythonSource().load(str(letters / "tasks.py"))]
    if "RuntimeError" in str(caught.value):  # trio lets asyncio run inside it
        assert "fix: the file runs its own event loop" in str(caught.value)


def test_the_error_of_a_helper_shows_the_helpers_line(letters: Path, write: Write) -> None:
    write("helper.py", "def f():\n    return 1 / 0\n")
    assert "helper.py:2: return 1 / 0" in problem(write("tasks.py", "import helper\nhelper.f()\n"))


def test_an_import_that_fails_leaves_nothing_behind(letters: Path, write: Write) -> None:
    write("helper.py", "import env\n")
    path = write("tasks.py", "import helper\nimport env\n1 / 0\n")
    modules, search = dict(sys.modules), list(sys.path)
    assert "ZeroDivisionError" in problem(path)
    assert not {"tasks", "helper", "env"} & (sys.modules.keys() - modules.keys())
    assert sys.path == search


# --- projects side by side --------------------------------------------------------------------------------------------


def project(write: Write, name: str) -> Path:
    text = "from hud_core.environment.environment import Environment\n"
    write(f"{name}/pyproject.toml", "")
    write(
        f"{name}/env.py",
        f"{text}env = Environment('{name}')\n\n@env.scenario()\nasync def ask():\n    yield 'x'\n    yield 1\n",
    )
    write(f"{name}/parts/__init__.py", "")
    write(f"{name}/parts/words.py", f"WORD = '{name}'\n")
    return write(
        f"{name}/tasks.py", "from env import ask\nfrom parts.words import WORD\nt = ask.task()\nt.slug = WORD\n"
    )


def test_two_projects_with_modules_of_the_same_names(write: Write) -> None:
    one, two = project(write, "one"), project(write, "two")
    for path in (one, two, one):
        ((_, task),) = load_file(path)
        assert (task.slug, task.env.name) == (path.parent.name, path.parent.name)


def test_a_module_of_another_project_is_not_there(write: Write) -> None:
    project(write, "one")
    (bare := write("bare/tasks.py", "from env import ask\nt = ask.task()\n")).parent.joinpath("setup.py").touch()
    load_file(bare.parent.parent / "one" / "tasks.py")
    assert "No module named 'env'" in problem(bare)


def test_files_of_one_project_share_its_modules(letters: Path, write: Write) -> None:
    one = write("a/task.py", HEADER + "t = count.task('x', 'x')\n")
    two = write("b/task.py", HEADER + "t = count.task('y', 'y')\n")
    tasks = [load_file(path)[0][1] for path in (one, two)]
    assert [task.args["text"] for task in tasks] == ["x", "y"]
    assert tasks[0].env is tasks[1].env


def test_helpers_of_one_name_beside_two_files(letters: Path, write: Write) -> None:
    found = []
    for name in ("a", "b"):
        write(f"{name}/helper.py", f"WORD = '{name}'\n")
        path = write(f"{name}/task.py", HEADER + "from helper import WORD\nt = count.task(WORD, 'x')\n")
        found.append(load_file(path)[0][1].args["text"])
    assert found == ["a", "b"]


def test_namespace_packages_of_two_projects(write: Write) -> None:
    for name in ("one", "two"):
        path = project(write, name)
        (path.parent / "parts" / "__init__.py").unlink()
        assert labels(path) == [name]


def test_loading_again_gives_the_same_tasks_until_a_file_changes(letters: Path, write: Write) -> None:
    path = write("tasks.py", HEADER + task_lines("zebra"))
    first, again = load_file(path), load_file(path)
    assert first[0][1] is again[0][1]
    env = letters / "env.py"
    env.write_text(env.read_text().replace("How many", "Count the"))
    os.utime(env, (1, 1))
    ((_, changed),) = load_file(path)
    assert changed is not first[0][1]
    assert changed.env is not first[0][1].env


@pytest.mark.parametrize("name", ["my-tasks.py", "json.py", "v1.2.tasks.py", "__main__.py", "pytest.py"])
def test_any_file_name_will_do(letters: Path, write: Write, name: str) -> None:
    before = {module: sys.modules.get(module) for module in ("json", "pytest", "__main__")}
    assert labels(write(name, HEADER + task_lines("zebra"))) == ["zebra"]
    assert {module: sys.modules.get(module) for module in before} == before


def test_modules_that_others_imported_stay(letters: Path, write: Write) -> None:
    foreign = type(sys)("env")
    foreign.__file__ = "/somewhere/else/env.py"
    sys.modules["env"] = foreign
    try:
        assert labels(write("tasks.py", HEADER + task_lines("zebra"))) == ["zebra"]
        assert sys.modules["env"] is foreign
    finally:
        del sys.modules["env"]
