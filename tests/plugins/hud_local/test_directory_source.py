"""Folders of tasks: the order of discovery, and what is left out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hud_core.errors import ConfigError, TaskDataError
from hud_local.directory import DirectorySource

if TYPE_CHECKING:
    from conftest import Write


async def slugs(folder: Path) -> list[str | None]:
    return [task.slug async for task in DirectorySource().load(str(folder))]


def task(slug: str) -> str:
    return f"from env import count\nt = count.task('x', 'x')\nt.slug = '{slug}'\n"


async def test_tasks_py_and_task_py_come_first(letters: Path, write: Write) -> None:
    write("aaa.py", task("other"))
    write("deep/task.py", task("deep"))
    write("tasks.py", task("tasks"))
    assert await slugs(letters) == ["tasks"]
    write("task.py", task("task"))
    assert await slugs(letters) == ["tasks", "task"]


async def test_then_every_task_py_below(letters: Path, write: Write) -> None:
    write("aaa.py", task("other"))
    for name in ("b/task.py", "a/x/task.py", ".hidden/task.py", "_draft/task.py", "node_modules/m/task.py"):
        write(name, task(name.rpartition("/")[0]))
    write("venv/pyvenv.cfg", "")
    write("venv/lib/task.py", task("venv"))
    assert await slugs(letters) == ["a/x", "b"]


async def test_then_the_other_files(letters: Path, write: Write) -> None:
    for name in ("zoo.py", "bar.py", "conftest.py", "setup.py"):
        write(name, task(name))
    assert await slugs(letters) == ["bar.py", "zoo.py"]


async def test_a_package_with_relative_imports(letters: Path, write: Write) -> None:
    (letters / "env.py").rename(letters / "pkg.py")
    write("pack/__init__.py", "")
    (letters / "pkg.py").rename(letters / "pack" / "env.py")
    write("pack/tasks.py", task("inside").replace("from env", "from .env"))
    assert await slugs(letters / "pack") == ["inside"]
    write("pack/__init__.py", task("package").replace("from env", "from .env"))
    assert await slugs(letters / "pack") == ["package"]


async def test_files_that_cannot_be_imported_are_left_out_and_named(
    letters: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write("a/task.py", "import nix_nope\n")
    write("b/task.py", task("good"))
    source = DirectorySource()
    with caplog.at_level(logging.WARNING, logger="hud"):
        assert [task.slug async for task in source.load(str(letters))] == ["good"]
    (skipped,) = source.skipped
    assert "No module named 'nix_nope'" in skipped
    assert "a/task.py:1: import nix_nope" in skipped
    assert skipped in caplog.text


async def test_a_folder_without_tasks_says_what_was_looked_for_and_what_failed(letters: Path, write: Write) -> None:
    write("a/task.py", "import nix_nope\n")
    write("rows.jsonl", "{}")
    with pytest.raises(ConfigError) as caught:
        await slugs(letters)
    for part in ("no tasks in ", "**/task.py", "to read rows.jsonl, name that file", "No module named 'nix_nope'"):
        assert part in str(caught.value)


async def test_slugs_are_unique_across_files(letters: Path, write: Write) -> None:
    for name in ("a", "b"):
        write(f"{name}/task.py", task("same"))
    with pytest.raises(TaskDataError, match=r"slug 'same' is that of t \(.*a/task.py\) too.* @ t \(.*b/task.py\)"):
        await slugs(letters)


@pytest.mark.parametrize("ref", ["./nix", "/nix/nix", "nix/", "~/nix-nix"])
async def test_a_path_that_is_not_there(ref: str) -> None:
    source = DirectorySource()
    assert source.claims(ref)
    with pytest.raises(ConfigError, match=f"no such file: {ref}"):
        [task async for task in source.load(ref)]


def test_names_of_datasets_are_left_to_others() -> None:
    assert not DirectorySource().claims("hud-evals/SheetBench-50")
    assert not DirectorySource().claims("my-taskset")


async def test_a_file_of_another_kind(write: Write) -> None:
    path = write("tasks.yaml", "")
    with pytest.raises(ConfigError, match=r"a file that ends in .py, .json or .jsonl"):
        await slugs(path)
