"""Graders that keep the contract, or break it in one way each: `fails` says which tests must find it."""

# ruff: noqa: F403, F405

from __future__ import annotations

import pytest

from hud_core import *
from hud_core.testing import *


def given(name, make):
    """Make a fixture of the name."""
    return pytest.fixture(name=name)(lambda self: make())


class Good(Grader):
    async def grade(self, answer, session, *, weight=1.0):
        return SubScore(name="good", value="good" in answer.text, weight=weight)


class Contract(GraderContract):
    grader = given("grader", Good)

    class Fails(Grader):
        async def grade(self, answer, session, **options):
            raise GraderError("the judge is away")

    unmeasurable = given("unmeasurable", Fails)


class TestGood(Contract):
    fails = ()


def grader(grade):
    return given("grader", type("G", (Grader,), {"grade": grade}))


async def number(self, answer, session):
    return float("good" in answer.text)


class ChecksTooMuch(Good):
    def check(self, **options):
        raise ConfigError("no options are ever right")


class TestChecksTooMuch(Contract):
    fails = ("check_takes",)
    grader = given("grader", ChecksTooMuch)


class Looks(Good):
    needs_session = False

    async def grade(self, answer, session):
        await session.list_tools()
        return SubScore(name="x", value="good" in answer.text)


class TestLooksAllTheSame(Contract):
    fails = ("needs_no_session",)
    grader = given("grader", Looks)


class TestGivesANumber(Contract):
    fails = ("is_a_sub_score", "good_answer_is_worth_more", "empty_answer", "same_answer")
    grader = grader(number)


async def constant(self, answer, session):
    return SubScore(name="x", value=1.0)


class TestAlwaysOne(Contract):
    fails = ("good_answer_is_worth_more",)
    grader = grader(constant)


async def needs_text(self, answer, session):
    return SubScore(name="x", value=answer.text.split()[0] == "good")


class TestNeedsText(Contract):
    fails = ("empty_answer",)
    grader = grader(needs_text)


async def takes_all(self, answer, session, **options):
    return SubScore(name="x", value="good" in answer.text)


class TestTakesAnyOption(Contract):
    fails = ("unknown_option",)
    grader = grader(takes_all)


async def stateful(self, answer, session):
    self.count = getattr(self, "count", 0) + 1
    return SubScore(name="x", value=(answer.text == "good") / self.count)


class TestRemembers(Contract):
    fails = ("same_answer",)
    grader = grader(stateful)


class TestZeroForFailures(Contract):
    fails = ("cannot_be_measured",)
    unmeasurable = (
        grader.__wrapped__
        if hasattr(grader, "__wrapped__")
        else given("unmeasurable", type("G", (Grader,), {"grade": takes_all}))
    )
