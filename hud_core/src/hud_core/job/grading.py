"""Grading with the graders that a task row names, for tasks without grading code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from hud_core.errors import GraderError
from hud_core.model.evaluation import Evaluation, SubScore

if TYPE_CHECKING:
    from hud_core.interfaces import Session
    from hud_core.kernel import Kernel
    from hud_core.model.evaluation import Answer


async def grade_with(graders: list[dict[str, Any]], kernel: Kernel, answer: Answer, session: Session) -> Evaluation:
    """Weigh the sub-scores of named graders; the scenario's own second yield is not asked.

    Args:
        graders: ``{"name": "contains", "weight": 0.5, ...}``; everything but name and weight goes to the grader.
        kernel: Provides the graders.
        answer: What is graded.
        session: The live environment, for graders that look at it.

    Raises:
        GraderError: A grader failed, or gave no sub-score.
        UnknownProviderError: A grader is not installed.
    """
    return Evaluation.from_subscores([await _grade(row, kernel, answer, session) for row in graders])


async def _grade(row: dict[str, Any], kernel: Kernel, answer: Answer, session: Session) -> SubScore:
    options = dict(row)
    name = options.pop("name", None)
    weight = options.pop("weight", 1.0)
    if not isinstance(name, str):
        msg = f"a grader needs a name, got {row!r}"
        raise GraderError(msg)
    score = await kernel.graders.create(name).grade(answer, session, **options)
    if not isinstance(score, SubScore):
        msg = f"grader {name!r} must give a SubScore, got {type(score).__name__}"
        raise GraderError(msg)
    return attrs.evolve(score, weight=weight)
