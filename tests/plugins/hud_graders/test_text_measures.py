from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core import AgentAnswer, Answer
from hud_graders import contains, contains_all, contains_any, exact_match, f1_score, normalize, numeric_match


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The answer is 42!", "answer is 42"),
        ("  An   apple, a\tpear ", "apple pear"),
        ("-5 and 3.5 and 1,000.", "-5 and 3.5 and 1,000"),
        ("well-known snake_case", "well known snake case"),
        ("theatre", "theatre"),
        (None, ""),
    ],
)
def test_normalize(text: str | None, normal: str) -> None:
    assert normalize(text) == normal


@given(st.text())
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


def test_exact_match_wants_the_whole_answer() -> None:
    assert exact_match("The Answer!", "answer") == 1.0
    assert exact_match("The answer is 42!", "42") == 0.0
    assert exact_match("The answer is not 42", "42") == 0.0
    assert exact_match("-5", "5") == 0.0
    assert exact_match("A", "a", normalize_text=False) == 0.0


def test_no_answer_is_not_the_word_none() -> None:
    assert exact_match(None, "None") == 0.0
    assert contains(None, "None") == 0.0


def test_typed_answers_are_read_as_their_text() -> None:
    assert exact_match(Answer(text="42"), "42") == 1.0
    assert exact_match(AgentAnswer(content=42, raw="42"), "42") == 1.0
    assert exact_match(42, "42") == 1.0


def test_contains() -> None:
    assert contains("It is in Strasse 5", "STRAßE") == 1.0
    assert contains("Yes", "yes", case_sensitive=True) == 0.0
    assert contains_any("a cat", ["dog", "cat"]) == 1.0
    assert contains_any("a cat", []) == 0.0
    assert contains_all("a cat", ["dog", "cat"]) == 0.0
    assert contains_all("a cat", []) == 1.0
    with pytest.raises(TypeError, match=r"write \['cat'\]"):
        contains_any("a cat", "cat")


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance"),
    [
        ("1,234", 1234, 0), ("$1,234,567.89 in all", 1234567.89, 0), ("1'234", 1234, 0), ("1\u202f234", "1,234", 0),
        ("1e3", 1000, 0), ("1.5E-2 m", 0.015, 0), ("-5", -5, 0), ("about \N{MINUS SIGN}5 C", -5, 0), (".5", 0.5, 0),
        ("1.1", 1.0, 0.1), ("v2 has 3", 3, 0), ("10-5", 10, 0), ("50%", 50, 0), ("1,2,3", 1, 0), (7, 7, 0),
        ("It is...3", 3, 0),
        ("$.50", 0.5, 0), ("version 1.2.3", 1.2, 0), ("=-2", -2, 0), ("(5)", 5, 0), ("3rd", 3, 0),
    ],
)  # fmt: skip
def test_a_number_is_found(answer: str, expected: float, tolerance: float) -> None:
    assert numeric_match(answer, expected, tolerance=tolerance) == 1.0


@pytest.mark.parametrize("answer", ["", None, "no number", "-3", "1e999999999999999999", "30", "3.01"])
def test_another_number_is_not_a_match(answer: str | None) -> None:
    assert numeric_match(answer, 3) == 0.0


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_a_number_equals_itself_with_separators(number: object) -> None:
    assert numeric_match(f"It is {number:,f}.", f"{number:f}") == 1.0


@pytest.mark.parametrize(("expected", "tolerance"), [("many", 0), (float("nan"), 0), (3, -1), (3, float("nan"))])
def test_a_number_must_be_one(expected: float, tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"number|tolerance"):
        numeric_match("3", expected, tolerance=tolerance)


def test_f1_score() -> None:
    assert f1_score("the cat sat", "a cat sat down") == pytest.approx(0.8)
    assert f1_score("cat cat", "cat") == pytest.approx(2 / 3)
    assert f1_score("", "cat") == f1_score("", "") == 0.0
