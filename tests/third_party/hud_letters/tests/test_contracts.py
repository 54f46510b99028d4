"""hud-letters keeps the contracts of the kernel that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from hud_letters.answering import Counter, Number
from hud_letters.keeping import Shelf, Tally, Words
from hud_letters.running import Fresh, Here

from hud_core import Answer
from hud_core.testing import (
    AgentContract,
    BackendContract,
    ExecutorContract,
    GraderContract,
    PluginContract,
    ResultSinkContract,
    TaskSinkContract,
    TaskSourceContract,
)


class TestPlugin(PluginContract):
    plugin = "hud_letters"
    distribution = "hud-letters"


class TestFresh(BackendContract):
    @pytest.fixture
    def backend(self) -> Fresh:
        return Fresh()


class TestCounter(AgentContract):
    @pytest.fixture
    def agent(self) -> Counter:
        return Counter(calls=("echo",))

    @pytest.fixture
    def stumbling(self) -> Counter:
        return Counter(calls=("boom",))

    @pytest.fixture
    def endless(self) -> Counter:
        return Counter(stubborn=True)

    @pytest.fixture
    def sleeping(self) -> Counter:
        return Counter(calls=("slow",))


class TestNumber(GraderContract):
    good = Answer(text="There are 3.")
    bad = Answer(text="There are 2.")
    options: ClassVar[dict[str, int]] = {"expected": 3}

    @pytest.fixture
    def grader(self) -> Number:
        return Number()


class TestWords(TaskSourceContract):
    ref = "words:pear,apple,cherry"
    labels = ("pear", "apple", "cherry")
    missing = "words:nowhere.txt"
    mistakes = 2

    @pytest.fixture
    def source(self) -> Words:
        return Words()

    @pytest.fixture
    def bad_ref(self, tmp_path: Path) -> str:
        file = tmp_path / "bad.txt"
        file.write_text("pear 4pple ch3rry", "utf-8")
        return f"words:{file}"


class TestShelf(TaskSinkContract):
    @pytest.fixture
    def sink(self) -> Shelf:
        return Shelf()

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        return str(tmp_path / "shelf.json")


class TestTally(ResultSinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Tally:
        return Tally(str(tmp_path / "tally.json"))


class TestHere(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Here:
        return Here()
