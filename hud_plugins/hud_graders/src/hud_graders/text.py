"""Measures of text: each takes an answer and gives 1.0 or 0.0, or something between."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# A minus sign before a number and the marks inside one belong to it: -5 is not 5, and 3.5 is not 3 5.
_PUNCTUATION = re.compile(r"(?!(?<!\w)[-\N{MINUS SIGN}](?=\.?\d))(?!(?<=\d)[.,](?=\d))[^\w\s]|_")
_SPACES = ",'\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
"""What may stand between groups of three digits."""
_NUMBER = re.compile(
    rf"(?<!\w)(?<!\d\.)[-+\N{{MINUS SIGN}}]?"
    rf"(?:(?:\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)|\d+)(?:\.\d+)?|(?<!\.)\.\d+)(?:[eE][-+]?\d+)?"
)
_NO_SEPARATORS = str.maketrans({"\N{MINUS SIGN}": "-", **dict.fromkeys(_SPACES, "")})


def text_of(answer: object) -> str:
    """Give an answer as text: no answer is the empty text, and a typed one its text as it came."""
    if answer is None:
        return ""
    for name in ("raw", "text"):  # hud_core.AgentAnswer, hud_core.Answer
        if isinstance(text := getattr(answer, name, None), str):
            return text
    return str(answer)


def normalize(text: object) -> str:
    """Make texts alike that say the same: lower case, no punctuation, no articles, single spaces.

    A minus sign before a number and the point and commas inside one stay.
    """
    words = _PUNCTUATION.sub(" ", text_of(text).lower())
    return " ".join(_ARTICLES.sub(" ", words).split())


def exact_match(answer: object, expected: object, *, normalize_text: bool = True) -> float:
    """Give 1.0 where the answer is what was expected, as a whole, and nothing else.

    Args:
        answer: The answer.
        expected: What it should be.
        normalize_text: Whether to compare both as `normalize` gives them; otherwise character by character.
    """
    if normalize_text:
        return float(normalize(answer) == normalize(expected))
    return float(text_of(answer) == text_of(expected))


def contains(answer: object, substring: str, *, case_sensitive: bool = False) -> float:
    """Give 1.0 where the answer holds a text."""
    return float(_finder(answer, case_sensitive=case_sensitive).holds(substring))


def contains_any(answer: object, substrings: Iterable[str], *, case_sensitive: bool = False) -> float:
    """Give 1.0 where the answer holds at least one of several texts; of no texts it holds none."""
    finder = _finder(answer, case_sensitive=case_sensitive)
    return float(any(finder.holds(text) for text in _several(substrings)))


def contains_all(answer: object, substrings: Iterable[str], *, case_sensitive: bool = False) -> float:
    """Give 1.0 where the answer holds every one of several texts; of no texts it holds all."""
    finder = _finder(answer, case_sensitive=case_sensitive)
    return float(all(finder.holds(text) for text in _several(substrings)))


class _Finder:
    def __init__(self, text: str, *, case_sensitive: bool) -> None:
        self._fold = (lambda text: text) if case_sensitive else str.casefold
        self._text: str = self._fold(text)

    def holds(self, text: str) -> bool:
        return self._fold(text) in self._text


def _finder(answer: object, *, case_sensitive: bool) -> _Finder:
    return _Finder(text_of(answer), case_sensitive=case_sensitive)


def _several(texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, str):  # it would be taken letter by letter
        msg = f"expected a list of texts, got the text {texts!r}; write [{texts!r}]"
        raise TypeError(msg)
    return texts


def numeric_match(answer: object, expected: float | str, *, tolerance: float = 0.0) -> float:
    """Give 1.0 where the first number in the answer is the expected one.

    Numbers may have a sign, thousands separators (``1,234``, ``1 234`` with a no-break space, ``1'234``), a decimal
    point and an exponent (``1.2e3``). Digits in a word, as in ``v2``, are no number. Both sides are compared as the
    decimals that are written there, so that 1.1 is within 0.1 of 1.

    Args:
        answer: The answer.
        expected: The number.
        tolerance: How far the answer's may be from it.

    Raises:
        ValueError: The expected number, or the tolerance, is none.
    """
    wanted, allowed = _decimal(expected), _decimal(tolerance)
    if wanted is None or allowed is None or allowed < 0:
        what = (
            f"expected a number, got {expected!r}" if wanted is None else f"tolerance must be 0 or more: {tolerance!r}"
        )
        raise ValueError(what)
    found = _decimal(text_of(answer))
    try:
        return float(found is not None and (found == wanted or abs(found - wanted) <= allowed))
    except ArithmeticError:  # an exponent that no decimal can hold: it is far from any number that one can
        return 0.0


def _decimal(value: float | str) -> Decimal | None:
    """Read the first number of a text, or a number; None where there is none."""
    found = _NUMBER.search(value if isinstance(value, str) else repr(value))
    try:
        return Decimal(found[0].translate(_NO_SEPARATORS)) if found else None
    except ArithmeticError:
        return None


def f1_score(answer: object, reference: str) -> float:
    """Give the F1 of the answer's words against a reference's, both as `normalize` gives them; 0.0 without words."""
    given, wanted = Counter(normalize(answer).split()), Counter(normalize(reference).split())
    shared = (given & wanted).total()
    return 2 * shared / (given.total() + wanted.total()) if shared else 0.0
