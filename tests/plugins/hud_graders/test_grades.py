from __future__ import annotations

import importlib
from typing import Any

import anyio
import pytest

import hud_graders
from hud.native import Grade, Grader
from hud_core import GraderError, SubScore


class Fixed(Grader):
    name = "Fixed"

    @classmethod
    async def compute_score(cls, *, value: Any, **_: Any) -> Any:
        return value


def test_sub_scores_become_an_evaluation() -> None:
    parts = [
        SubScore(name="tests", value=1, weight=2, metadata={"exit_code": 0}),
        SubScore(name="tests", value=0, weight=2),
        SubScore(name="tests-1", value=1, weight=-0.25),
    ]
    evaluation = Grade.from_subscores(parts)
    assert evaluation.reward == 0.25
    assert evaluation.subscores is not None
    assert [(part.name, part.weight) for part in evaluation.subscores] == [
        ("tests-2", 0.5), ("tests-3", 0.5), ("tests-1", -0.25)
    ]  # fmt: skip
    assert evaluation.info == {"tests-2": {"exit_code": 0}}


@pytest.mark.parametrize(
    "parts", [[], [SubScore(name="x", value=1, weight=-1)], [SubScore(name="x", value=1, weight=0)]]
)
def test_a_grade_needs_a_positive_weight(parts: list[SubScore]) -> None:
    with pytest.raises(ValueError, match="positive weight"):
        Grade.from_subscores(parts)


async def test_graders_are_awaited_at_once() -> None:
    both = anyio.Event()

    async def first() -> SubScore:
        await both.wait()
        return SubScore(name="first", value=1)

    async def second() -> SubScore:
        both.set()
        return SubScore(name="second", value=0)

    evaluation = await Grade.gather(first(), SubScore(name="ready", value=1, weight=2), second())
    assert evaluation.reward == 0.75
    assert [part.name for part in evaluation.subscores or ()] == ["first", "ready", "second"]


async def test_the_first_failure_cancels_the_others() -> None:
    cancelled = []

    async def slow() -> SubScore:
        try:
            await anyio.sleep(60)
        finally:
            cancelled.append(True)
        raise AssertionError

    async def broken() -> SubScore:
        await anyio.wait_all_tasks_blocked()
        raise GraderError("no")

    with pytest.raises(GraderError, match="no"):
        await Grade.gather(slow(), broken())
    assert cancelled == [True]


async def test_what_is_no_sub_score_is_named_and_nothing_is_left_unawaited() -> None:
    with pytest.raises(TypeError, match=r"got float 1\.0"):
        await Grade.gather(Fixed.grade(1, value=1), 1.0)  # type: ignore[arg-type]


async def test_a_graders_score_has_its_parameters() -> None:
    score = await Fixed.grade(0.5, value=(1, {"seen": 3}), odd=object(), api_key="sk-secret", size=float("inf"))
    assert (score.name, score.value, score.weight) == ("Fixed", 1.0, 0.5)
    assert score.metadata is not None
    assert score.metadata["seen"] == 3
    assert score.metadata["_parameters"]["odd"] == "<object: not serializable>"
    assert "sk-secret" not in repr(score)
    assert (await Fixed.grade(1, "renamed", value=True)).name == "renamed"


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "1", None])
async def test_a_score_out_of_range_is_a_grader_error(value: object) -> None:
    with pytest.raises(GraderError, match="'Fixed' must give a number from 0 to 1"):
        await Fixed.grade(1, value=value)


def test_any_and_all() -> None:
    parts = [SubScore(name="a", value=0.25), SubScore(name="b", value=0.75)]
    assert (Fixed.any(1, parts).name, Fixed.any(1, parts).value) == ("Fixed_any", 0.75)
    assert (Fixed.all(0.5, parts).name, Fixed.all(0.5, parts).value) == ("Fixed_all", 0.25)
    for empty in (Fixed.any, Fixed.all):
        with pytest.raises(ValueError, match="at least one sub-score"):
            empty(1, [])


async def test_a_grader_without_a_measure_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Grader must implement compute_score"):
        await Grader.grade(1)


NAMES = (
    "Grade", "Grader", "BashGrader", "LLMJudgeGrader", "exact_match", "contains", "contains_any", "contains_all",
    "numeric_match", "f1_score", "normalize",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_where_users_look_for_them(name: str) -> None:
    found = [getattr(importlib.import_module(module), name) for module in ("hud.native", "hud.native.graders")]
    assert found[0] is found[1] is getattr(hud_graders, name)


def test_a_name_that_never_was_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from hud.native import Nonsense")
