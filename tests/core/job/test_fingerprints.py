"""Fingerprints: the same task has the same one in every process, another task another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hud_core import Task
from hud_core.job.fingerprint import Fingerprints
from hud_core.testing import ScriptedAgent

ENV = """
from hud_core import Environment

env = Environment("letters")
VOWELS = ("aeiou", frozenset({"a", "e", "i", "o", "u"}))
NAMES = frozenset({"ada", "bob", "cleo", "dora"})

@env.tool
def is_vowel(letter: str) -> bool:
    return letter in VOWELS[1]

@env.scenario()
async def count(words: set[str]):
    answer = yield f"Which of {NAMES} are in {words}?"
    yield float(answer in {"none", "one", "two", "all"} and answer not in VOWELS)
"""
PRINT = """
from hud_core import Task
from hud_core.job.fingerprint import Fingerprints
from hud_core.testing import ScriptedAgent
import env

for words in ({"ada", "bob", "cleo"}, [{"x": {1, "one", (1,)}}], {frozenset("abc"), frozenset("de"), frozenset()}):
    task = Task(env=env.env, scenario="count", args={"words": words})
    print(Fingerprints().of(task, ScriptedAgent()))
"""


def test_sets_have_no_order(tmp_path: Path) -> None:
    """Python puts them in another order in each process, unless it is told which."""
    (tmp_path / "env.py").write_text(ENV, "utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    seen = {
        subprocess.check_output(
            [sys.executable, "-c", PRINT], env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1
    assert len(set(seen.pop().splitlines())) == 3


@pytest.mark.parametrize("other", [{"a", "b"}, {"a", "b", "d"}, ["a", "b", "c", "c"], "abc"])
def test_another_argument_is_another_task(other: object) -> None:
    agent, made = ScriptedAgent(), Fingerprints()
    one, two = (
        made.of(Task(env=None, scenario="count", args={"words": words}), agent) for words in ({"a", "b", "c"}, other)
    )
    assert one.task != two.task
