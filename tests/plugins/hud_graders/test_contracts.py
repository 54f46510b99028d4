"""hud-graders keeps the kernel's contracts. This file stands alone, without any other plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from hud_core import Answer, Grader, Kernel
from hud_core.testing import GraderContract, PluginContract

pytestmark = pytest.mark.slow


class TestPlugin(PluginContract):
    plugin = "hud_graders"
    distribution = "hud-graders"


class Named(GraderContract):
    name: ClassVar[str]
    good = Answer(text="The answer is 3.")
    bad = Answer(text="I do not know.")

    @pytest.fixture
    def grader(self) -> Grader:
        return Kernel(autoload=False, plugins=[__import__("hud_graders")]).graders.create(self.name)


class TestExactMatch(Named):
    name = "exact_match"
    options: ClassVar[Mapping[str, Any]] = {"expected": "answer is: 3"}


class TestContains(Named):
    name = "contains"
    options: ClassVar[Mapping[str, Any]] = {"expected": "ANSWER"}


class TestContainsAny(Named):
    name = "contains_any"
    options: ClassVar[Mapping[str, Any]] = {"expected": ["3", "three"]}


class TestContainsAll(Named):
    name = "contains_all"
    options: ClassVar[Mapping[str, Any]] = {"expected": ["3", "answer"]}


class TestNumericMatch(Named):
    name = "numeric_match"
    options: ClassVar[Mapping[str, Any]] = {"expected": 3.2, "tolerance": 0.2}


class TestF1Score(Named):
    name = "f1_score"
    options: ClassVar[Mapping[str, Any]] = {"expected": "answer 3"}


class TestRegex(Named):
    name = "regex"
    options: ClassVar[Mapping[str, Any]] = {"pattern": r"\b\d\b"}


class TestJsonMatch(Named):
    name = "json_match"
    good = Answer(text='```json\n{"answer": [3, true]}\n```')
    bad = Answer(text='{"answer": [3, 1]}')
    options: ClassVar[Mapping[str, Any]] = {"expected": {"answer": [3, True]}}


class TestBash(Named):
    name = "bash"
    options: ClassVar[Mapping[str, Any]] = {"command": "grep -q 3"}

    @pytest.fixture
    def unmeasurable(self, grader: Grader) -> Grader:
        class Elsewhere(Grader):
            async def grade(self, answer: Answer, session: Any, *_: Any, **options: Any) -> Any:
                return await grader.grade(answer, session, **options, cwd="/no/such/folder")

        return Elsewhere()
