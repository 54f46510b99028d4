"""Grading with the graders that a task row names, for tasks without grading code."""

from __future__ import annotations

import contextvars
import inspect
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from hud_core.errors import ConfigError, GraderError, HudError, TaskDataError, describe
from hud_core.model.evaluation import Evaluation, SubScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hud_core.interfaces import Agent, Grader, Session
    from hud_core.kernel import Kernel
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer
    from hud_core.model.task import Task

Row = dict[str, Any]
"""``{"name": "contains", "weight": 0.5, ...}``; everything but name and weight goes to the grader."""


class Grading(NamedTuple):
    """What graders may know beside the answer and the session."""

    kernel: Kernel
    """The job's, to ask models through."""
    prompt: Prompt | None = None
    """What the agent was asked."""
    judges: dict[str, Agent] | None = None
    """Agents that graders have made for the whole job, which closes them; None where each closes its own."""


current_grading: contextvars.ContextVar[Grading | None] = contextvars.ContextVar("hud_grading", default=None)
"""The grading that goes on now; None outside of one."""

MOST_PROBLEMS = 20
"""Mistakes that are told of one by one: a wrong option is often in every row."""


# --- before a job -----------------------------------------------------------------------------------------------------


def check_tasks(tasks: Iterable[Task], kernel: Kernel, *, first: int = 0) -> None:
    """Check the named graders of tasks before anything runs.

    Args:
        tasks: The tasks.
        kernel: Provides the graders.
        first: The place of the first of them in its source.

    Raises:
        TaskDataError: Graders or options are wrong, in one line each.
    """
    problems = [
        f"{problem} @ tasks[{place}].{where} ({task.label})"
        for place, task in enumerate(tasks, first)
        if task.graders
        for problem, where in check_rows(task.graders, kernel)
    ]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise TaskDataError([*problems[:MOST_PROBLEMS], *([f"... and {more:,} more"] if more > 0 else [])])


def check_rows(rows: list[Row], kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Give what is wrong with named graders, and where: ``graders[0]``."""
    for place, row in enumerate(rows):
        try:
            grader, options = _grader(row, kernel)
            _check_names(row["name"], grader, options)
            with grading_with(Grading(kernel)):
                grader.check(**options)
        except HudError as error:
            yield describe(error), f"graders[{place}]"
    weights = [row.get("weight", 1.0) for row in rows if isinstance(row, dict)]
    if not any(_is_number(weight) and weight > 0 for weight in weights):
        yield "a reward needs at least one grader with a positive weight", "graders"


def _check_names(name: str, grader: Grader, options: Mapping[str, Any]) -> None:
    signature = inspect.signature(grader.grade)
    try:
        signature.bind(None, None, **options)
    except TypeError as error:
        known = ", ".join(n for n, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY)
        raise ConfigError(f"grader {name!r}: {error}; its options are {known or 'none'}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _grader(row: Row, kernel: Kernel) -> tuple[Grader, Row]:
    """Find the grader of a row, and its options."""
    options = dict(row) if isinstance(row, dict) else {}
    name, weight = options.pop("name", None), options.pop("weight", 1.0)
    if not isinstance(name, str):
        raise ConfigError(f'a grader needs a name, as {{"name": "contains", "expected": "3"}}, got {row!r}')
    if not _is_number(weight):
        raise ConfigError(f"grader {name!r}: weight must be a number, got {weight!r}")
    return kernel.graders.create(name), options


# --- grading ----------------------------------------------------------------------------------------------------------


@contextmanager
def grading_with(grading: Grading) -> Iterator[None]:
    """Tell graders, wherever they are called, what goes on."""
    token = current_grading.set(grading)
    try:
        yield
    finally:
        current_grading.reset(token)


def needs_session(rows: list[Row], kernel: Kernel) -> list[str]:
    """Name the graders that look at the live environment: they cannot grade an answer again later.

    Raises:
        UnknownProviderError: A grader is not installed.
    """
    return [row["name"] for row in rows if _grader(row, kernel)[0].needs_session]


async def grade_with(graders: list[Row], kernel: Kernel, answer: Answer, session: Session) -> Evaluation:
    """Weigh the sub-scores of named graders; the scenario's own second yield is not asked.

    Args:
        graders: The rows.
        kernel: Provides the graders.
        answer: What is graded.
        session: The live environment, for graders that look at it.

    Raises:
        GraderError: A grader failed, or gave no sub-score.
        UnknownProviderError: A grader is not installed.
    """
    return Evaluation.from_subscores([await _grade(row, kernel, answer, session) for row in graders])


async def _grade(row: Row, kernel: Kernel, answer: Answer, session: Session) -> SubScore:
    grader, options = _grader(row, kernel)
    score = await grader.grade(answer, session, **options)
    if not isinstance(score, SubScore):
        msg = f"grader {row['name']!r} must give a SubScore, got {type(score).__name__}"
        raise GraderError(msg)
    return attrs.evolve(score, weight=row.get("weight", 1.0))
