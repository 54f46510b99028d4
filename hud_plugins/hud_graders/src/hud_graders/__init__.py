"""Ready-made graders for hud-core: text, shell, model judges, and graders that task rows name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core import interfaces
    from hud_graders.base import Grader as Grader
    from hud_graders.grade import Grade as Grade
    from hud_graders.judge import LLMJudgeGrader as LLMJudgeGrader
    from hud_graders.shell import BashGrader as BashGrader
    from hud_graders.text import contains as contains
    from hud_graders.text import contains_all as contains_all
    from hud_graders.text import contains_any as contains_any
    from hud_graders.text import exact_match as exact_match
    from hud_graders.text import f1_score as f1_score
    from hud_graders.text import normalize as normalize
    from hud_graders.text import numeric_match as numeric_match

_HOMES = {
    "BashGrader": "shell",
    "Grade": "grade",
    "Grader": "base",
    "LLMJudgeGrader": "judge",
    **dict.fromkeys(
        ("contains", "contains_all", "contains_any", "exact_match", "f1_score", "normalize", "numeric_match"), "text"
    ),
}

_NAMED = {
    "exact_match": ("nothing_expected", "the answer is a text, as a whole"),
    "contains": ("nothing_expected", "the answer holds a text"),
    "contains_any": ("nothing_expected", "the answer holds one of several texts"),
    "contains_all": ("nothing_expected", "the answer holds several texts"),
    "numeric_match": ("no_number", "the first number of the answer is a number"),
    "f1_score": ("nothing_expected", "how many words the answer shares with a text"),
    "regex": ("no_pattern", "the answer matches a regular expression"),
    "json_match": (None, "the answer is JSON data"),
    "bash": ("no_command", "a shell command on this machine succeeds, with the answer on its stdin"),
}
"""The named graders: what checks their options, and a summary."""


def _loader(name: str, problem: str | None) -> Callable[[], Callable[..., interfaces.Grader]]:
    def load() -> Callable[..., interfaces.Grader]:
        from functools import partial

        from hud_graders import named

        check = None if problem is None else getattr(named, problem)
        return partial(named.NamedGrader, name, getattr(named, name), check, needs_session=name == "bash")

    return load


def _load_judge() -> Callable[..., interfaces.Grader]:
    from hud_graders.judge import NamedJudge

    return NamedJudge


@hookimpl
def hud_graders() -> Iterable[Provider[interfaces.Grader]]:
    """Provide the graders that task rows name."""
    for name, (problem, summary) in _NAMED.items():
        yield Provider(name, _loader(name, problem), summary)
    yield Provider("llm_judge", _load_judge, "models judge the answer by criteria in words")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
