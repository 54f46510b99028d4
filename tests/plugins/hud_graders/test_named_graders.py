"""Graders in task rows: what a job makes of them, and what is refused before it begins."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

import hud_graders
import hud_local
from hud_core import Answer, Cause, Environment, Kernel, Task, TaskDataError, run
from hud_core.testing import ScriptedAgent
from hud_graders import named

env = Environment("sums")


@env.scenario()
async def ask(question: str) -> AsyncGenerator[str | float, str]:
    yield question
    raise AssertionError("its own grading is not asked")


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(plugins=[hud_graders, hud_local], autoload=False)


def graded(*graders: dict[str, Any]) -> Task:
    task = ask.task(question="1 + 2?")
    task.slug, task.graders = "sum", list(graders)
    return task


async def test_a_row_is_graded_without_code(kernel: Kernel) -> None:
    task = graded(
        {"name": "contains", "expected": "3", "weight": 0.5},
        {"name": "numeric_match", "expected": "3", "weight": 0.5},
        {"name": "regex", "pattern": "(?i)sorry", "weight": -0.25},
    )
    (rollout,) = await run(task, ScriptedAgent(answer="Sorry, it is 2. No, 3."), kernel=kernel, save=False)
    assert rollout.reward == 0.25
    assert rollout.evaluation is not None
    scores = {score.name: score.value for score in rollout.evaluation.subscores or ()}
    assert scores == {"contains": 1.0, "numeric_match": 0.0, "regex": 1.0}


@pytest.mark.parametrize(
    ("grader", "problem"),
    [
        ({"name": "contains", "expcted": "3"}, "unknown parameter 'expcted'.*did you mean 'expected'"),
        ({"name": "contains"}, "missing parameter 'expected'"),
        ({"name": "contains", "expected": 3}, "parameter 'expected': expected str, got int 3"),
        ({"name": "contains", "expected": ""}, "'expected' is empty"),
        ({"name": "contains_any", "expected": "3"}, "parameter 'expected': expected array, got str"),
        ({"name": "contains_all", "expected": []}, "'expected' is empty"),
        ({"name": "contains_all", "expected": ["a", ""]}, "has an empty text in it"),
        ({"name": "numeric_match", "expected": "three"}, "expected a number, got 'three'"),
        ({"name": "numeric_match", "expected": 3, "tolerance": -1}, "'tolerance' must be"),
        ({"name": "regex", "pattern": "("}, "'pattern' is no regular expression"),
        ({"name": "bash", "command": " "}, "'command' is empty"),
        ({"name": "bash", "command": "true", "timeout_seconds": 0}, "'timeout_seconds' must be more than 0"),
        ({"name": "contain", "expected": "3"}, "no grader 'contain' is installed; did you mean 'contains'"),
    ],
)
async def test_a_wrong_option_is_found_before_anything_runs(
    kernel: Kernel, grader: dict[str, Any], problem: str
) -> None:
    agent = ScriptedAgent(answer="3")
    with pytest.raises(TaskDataError, match=rf"{problem}.* @ tasks\[0\]\.graders\[0\] \(sum\)"):
        await run(graded(grader), agent, kernel=kernel, save=False)


async def test_a_grader_that_cannot_measure_makes_the_rollout_invalid(kernel: Kernel) -> None:
    task = graded({"name": "bash", "command": "true", "cwd": "/no/such/folder"})
    (rollout,) = await run(task, ScriptedAgent(answer="3"), kernel=kernel, save=False)
    assert (rollout.reward, rollout.cause) == (None, Cause.GRADER)


async def test_a_pattern_that_takes_forever_ends(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "REGEX_SECONDS", 0.5)
    task = graded({"name": "regex", "pattern": "(a+)+$"})
    (rollout,) = await run(task, ScriptedAgent(answer="a" * 60 + "!"), kernel=kernel, save=False)
    assert (rollout.reward, rollout.cause) == (None, Cause.GRADER)
    assert "took longer than 0.5 s" in (rollout.error or "")


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        (Answer(text="[1, 2.0]"), [1.0, 2], 1.0),
        (Answer(text="[1]"), [True], 0.0),
        (Answer(structured={"a": None}), {"a": None}, 1.0),
        (Answer(text="null"), None, 1.0),
        (Answer(text="not JSON"), None, 0.0),
        (Answer(text='{"a": 1, "b": 2}'), {"a": 1}, 0.0),
    ],
)
async def test_json_is_compared_as_data(kernel: Kernel, answer: Answer, expected: Any, value: float) -> None:
    score = await kernel.graders.create("json_match").grade(answer, None, expected=expected)  # type: ignore[arg-type]
    assert score.value == value


def test_which_graders_can_grade_again(kernel: Kernel) -> None:
    needing = [name for name in kernel.graders if kernel.graders.create(name).needs_session]
    assert needing == ["bash"]


def test_a_name_that_is_not_installed_says_what_to_install() -> None:
    bare = Kernel(autoload=False)
    for name in Kernel(plugins=[hud_graders], autoload=False).graders:
        with pytest.raises(LookupError, match="pip install hud-graders"):
            bare.graders[name]
