"""What the tests of hud-local share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import hud_local
from hud_core.kernel import Kernel

Write = Callable[[str, str], Path]

ENV = """
    from hud_core.environment.environment import Environment

    env = Environment("letters")

    @env.tool(blocking=False)
    def count_letter(text: str, letter: str) -> int:
        return text.count(letter)

    @env.scenario()
    async def count(text: str, letter: str):
        answer = yield f"How many {letter} are in {text}?"
        yield float(answer == str(text.count(letter)))
"""


@pytest.fixture
def kernel() -> Kernel:
    """A kernel that has hud-local and nothing else."""
    return Kernel(plugins=[hud_local], autoload=False, strict=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the test's folder, and gives its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def letters(write: Write) -> Path:
    """A project with the environment ``letters`` in its env.py."""
    return write("env.py", ENV).parent


@pytest.fixture(autouse=True)
def clean_imports(tmp_path: Path) -> Iterator[None]:
    """Leave `sys.modules` and `sys.path` as they were."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in sys.modules.keys() - modules.keys():
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path
