"""Digests change with the half of a scenario that changed, and with nothing else."""

from __future__ import annotations

import importlib.util
import itertools
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hud_core.environment.environment import Environment

if TYPE_CHECKING:
    from hud_core.environment.digests import Digests

BASE = '''
from hud_core.environment.environment import Environment
from {helper} import difficulty

env = Environment("digests")
LIMIT = 3

def build(word):
    return word.upper()

def judge(answer):
    return exact(answer)

def exact(answer):
    return answer == "x"

@env.tool
def look(where: str) -> str:
    """Look somewhere."""
    return build(where)

@env.scenario(description="Ask.")
async def ask(word: str = "a"):
    # prepare
    prompt = build(word) * difficulty()
    answer = yield prompt
    # grade
    yield judge(answer) and len(answer) < LIMIT
'''

numbers = itertools.count()
Load = Callable[..., "tuple[Digests, str]"]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a changed copy of the module above, and give its digests."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(*changes: tuple[str, str], helper: str = "return 1", base: str = BASE) -> tuple[Digests, str]:
        name = f"digested_{next(numbers)}"
        (tmp_path / f"{name}_helper.py").write_text(f"def difficulty():\n    {helper}\n")
        source = base.replace("{helper}", f"{name}_helper")
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        source = source.replace(f"{name}_helper", "the_helper")
        (tmp_path / "the_helper.py").write_text(f"def difficulty():\n    {helper}\n")
        sys.modules.pop("the_helper", None)
        linecache.clearcache()
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        env: Environment = module.env
        return env.scenarios["ask"].digests, env.digest()

    return load


@pytest.mark.parametrize(
    ("change", "setup", "grading", "tools"),
    [
        (("# prepare", "# prepare it\n\n"), False, False, False),
        (("# grade", "# now grade"), False, False, False),
        (("prompt = build(word)", "prompt = 'Say ' + build(word)"), True, False, False),
        (("yield prompt", "yield prompt + '!'"), True, False, False),
        (('word: str = "a"', 'word: str = "b"'), True, False, False),
        (('description="Ask."', 'description="Ask.", exclude_tools=["look"]'), True, False, False),
        (("and len(answer)", "or len(answer)"), False, True, False),
        (("LIMIT = 3", "LIMIT = 4"), False, True, False),
        (("return exact(answer)", "return not exact(answer)"), False, True, False),
        (('answer == "x"', 'answer == "y"'), False, True, False),
        (("word.upper()", "word.lower()"), True, False, True),
        (("where: str", "where: str = ''"), False, False, True),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else str(value),
)
def test_what_changes(load: Load, change: tuple[str, str], setup: bool, grading: bool, tools: bool) -> None:
    before, tools_before = load()
    after, tools_after = load(change)
    assert (before.setup != after.setup, before.grading != after.grading) == (setup, grading)
    assert (tools_before != tools_after) == tools


def test_functions_of_modules_beside_it_count(load: Load) -> None:
    before, _ = load()
    after, _ = load(helper="return 2")
    assert before.setup != after.setup
    assert before.grading == after.grading


@pytest.mark.parametrize(
    "body",
    [
        "if word:\n        answer = yield 'one'\n    else:\n        answer = yield 'two'\n    yield answer == 'x'",
        "while True:\n        answer = yield 'one'\n        yield answer == 'x'",
        "answer = (yield 'one') if word else (yield 'two')\n    yield answer == 'x'",
    ],
)
def test_a_first_yield_in_a_branch_counts_for_both_halves(load: Load, body: str) -> None:
    start = BASE.index("    # prepare")
    base = BASE[:start] + "    " + body + "\n"
    before, _ = load(base=base)
    after, _ = load(("== 'x'", "== 'y'"), base=base)
    assert before.setup != after.setup
    assert before.grading != after.grading


def test_blocks_around_the_yields_are_split_too(load: Load) -> None:
    start = BASE.index("    # prepare")
    base = BASE[:start] + (
        "    def inner():\n        yield 'not mine'\n"
        "    with open(word) as file:\n        try:\n            answer = yield file.read()\n"
        "            yield answer == 'x'\n        finally:\n            file.close()\n"
    )
    before, _ = load(base=base)
    for old, new, half in (
        ("'not mine'", "'mine'", "setup"),
        ("open(word)", "open(word, 'rb')", "setup"),
        ("== 'x'", "== 'y'", "grading"),
        ("file.close()", "file.flush()", "grading"),
    ):
        after, _ = load((old, new), base=base)
        assert {name for name in before._fields if getattr(before, name) != getattr(after, name)} == {half}, old


def test_without_source_the_byte_code_counts() -> None:
    def declare(score: str) -> Digests:
        env = Environment("typed")
        code = f"@env.scenario()\nasync def ask():\n    answer = yield '?'\n    yield answer in {score}\n"
        exec(compile(code, "<typed>", "exec"), {"env": env})
        return env.scenarios["ask"].digests

    assert declare("{'a', 'b'}") == declare("{'a', 'b'}")
    assert declare("{'a', 'b'}") != declare("{'a', 'c'}")
