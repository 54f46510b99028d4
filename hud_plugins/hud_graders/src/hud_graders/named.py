"""Graders that task rows name: ``graders: [{"name": "contains", "expected": "3"}]``."""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
import sys
from typing import TYPE_CHECKING, Any

from hud_core import Answer, ConfigError, Grader, GraderError, SubScore
from hud_core.agents.conversation import read_structured
from hud_core.environment.signature import Signature
from hud_graders import shell, text
from hud_graders.base import Score, checked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hud_core import Session

    Measure = Callable[..., Score | Awaitable[Score]]

REGEX_SECONDS = 10.0
"""How long a pattern may take on one answer."""


class NamedGrader(Grader):
    """A grader made of a function ``measure(answer, *, options...)``: its annotations say what options a row may have.

    Args:
        name: What rows call it.
        measure: The function.
        problem: Says what is wrong with options that have the right types, or gives nothing.
        needs_session: Whether it looks at what the agent left behind, beside the answer.
    """

    def __init__(
        self, name: str, measure: Measure, problem: Callable[..., str] | None = None, *, needs_session: bool = False
    ) -> None:
        self.name = name
        self.needs_session = needs_session
        self._measure = measure
        self._problem = problem
        self._signature = _signature(name, measure)

    def check(self, **options: Any) -> None:
        """Check the options of a row.

        Raises:
            ArgumentError: One is unknown, missing or of another type.
            ConfigError: One has a value that makes no sense.
        """
        bound = self._signature.bind(options)
        if self._problem is not None and (problem := self._problem(**bound)):
            raise ConfigError(f"grader {self.name!r}: {problem}")

    async def grade(self, answer: Answer, session: Session, *_: Any, **options: Any) -> SubScore:  # noqa: ARG002
        """Measure the answer."""
        self.check(**options)
        result = self._measure(answer, **self._signature.bind(options))
        score = await result if inspect.isawaitable(result) else result
        value, metadata = score if isinstance(score, tuple) else (score, None)
        return SubScore(name=self.name, value=checked(value, self.name), metadata=metadata)


@functools.cache  # a row's graders are made anew for each rollout
def _signature(name: str, measure: Measure) -> Signature:
    return Signature(f"grader {name!r}", functools.partial(measure, answer=None))


def given(answer: Answer) -> str:
    """Give an answer as text; one that is only data as JSON."""
    if answer.text or answer.structured is None:
        return answer.text
    return json.dumps(answer.structured, ensure_ascii=False)


# --- measures of the answer's text ------------------------------------------------------------------------------------


def exact_match(answer: Answer, *, expected: str, normalize_text: bool = True) -> float:
    """Compare the whole answer."""
    return text.exact_match(given(answer), expected, normalize_text=normalize_text)


def contains(answer: Answer, *, expected: str, case_sensitive: bool = False) -> float:
    """Look for a text."""
    return text.contains(given(answer), expected, case_sensitive=case_sensitive)


def contains_any(answer: Answer, *, expected: list[str], case_sensitive: bool = False) -> float:
    """Look for one of several texts."""
    return text.contains_any(given(answer), expected, case_sensitive=case_sensitive)


def contains_all(answer: Answer, *, expected: list[str], case_sensitive: bool = False) -> float:
    """Look for several texts."""
    return text.contains_all(given(answer), expected, case_sensitive=case_sensitive)


def numeric_match(answer: Answer, *, expected: float | str, tolerance: float = 0.0) -> float:
    """Compare the first number."""
    return text.numeric_match(given(answer), expected, tolerance=tolerance)


def f1_score(answer: Answer, *, expected: str) -> float:
    """Compare words."""
    return text.f1_score(given(answer), expected)


def json_match(answer: Answer, *, expected: Any) -> float:  # noqa: ANN401  any JSON value
    """Compare the answer as JSON; one that is no JSON is no match."""
    found = read_structured(answer.text) if answer.structured is None else answer.structured
    if found is None:
        return float(expected is None and answer.text.strip() == "null")
    return float(_same(found, expected))


def _same(one: object, other: object) -> bool:
    """Compare JSON values; true is not 1, though Python says so."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def nothing_expected(*, expected: str | list[str], **_: object) -> str:
    """Refuse an empty text, which every answer holds, and an empty list."""
    if not expected:
        return f"'expected' is empty, so it says nothing: give what to look for, got {expected!r}"
    return "'expected' has an empty text in it, which every answer holds; remove it" if "" in list(expected) else ""


def no_number(*, expected: float | str, tolerance: float = 0.0) -> str:
    """Refuse what is no number."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        return f"'tolerance' must be a number of 0 or more, got {tolerance!r}"
    try:
        text.numeric_match("", expected)
    except ValueError as error:
        return f"'expected': {error}"
    return ""


# --- measures that run something --------------------------------------------------------------------------------------

_SEARCH = "import json, re, sys; p, f, t = json.load(sys.stdin); print(re.search(p, t, f) is not None)"


async def regex(answer: Answer, *, pattern: str, case_sensitive: bool = True) -> float:
    """Search for a pattern, in a process of its own: there are answers on which some patterns take forever.

    Raises:
        GraderError: It took too long.
    """
    flags = int(re.NOFLAG if case_sensitive else re.IGNORECASE)
    result = await shell.run_command(
        [sys.executable, "-I", "-S", "-c", _SEARCH],
        cwd=None,
        timeout_seconds=REGEX_SECONDS,
        stdin=json.dumps([pattern, flags, given(answer)]),
    )
    if result.exit_code != 0:
        why = f"took longer than {REGEX_SECONDS:g} s" if result.timed_out else f"failed: {result.stderr.strip()[-500:]}"
        raise GraderError(f"the pattern {pattern!r} {why}")
    return float(result.stdout.strip() == "True")


def no_pattern(*, pattern: str, **_: object) -> str:
    """Refuse a pattern that cannot be compiled."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"'pattern' is no regular expression: {error}; it is {pattern!r}"
    return ""


async def bash(
    answer: Answer, *, command: str, cwd: str | None = None, timeout_seconds: float = shell.SECONDS
) -> Score:
    """Run a shell command, with the answer on its stdin."""
    return await shell.run_bash(command, cwd, timeout_seconds, stdin=given(answer))


def no_command(*, command: str, timeout_seconds: float = shell.SECONDS, **_: object) -> str:
    """Refuse a command that cannot pass."""
    if not command.strip():
        return "'command' is empty; give the command whose exit code 0 means success"
    return "" if timeout_seconds > 0 else f"'timeout_seconds' must be more than 0, got {timeout_seconds:g}"
