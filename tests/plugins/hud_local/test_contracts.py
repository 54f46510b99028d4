"""hud-local keeps the contracts that every plugin keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hud_core.interfaces import Agent, Solution
from hud_core.model.tools import ToolCall
from hud_core.testing import AgentContract, BackendContract, PluginContract, TaskSourceContract
from hud_local.backend import LocalBackend
from hud_local.directory import DirectorySource
from hud_local.nop import NopAgent
from hud_local.oracle import OracleAgent
from hud_local.python import PythonSource
from hud_local.rows import RowSource
from hud_local.scripted import ScriptedAgent

if TYPE_CHECKING:
    from conftest import Write

TASKS = """
    from env import count

    zebra = count.task(text="zebra", letter="z")
    zebra.slug = "zebra"
    apple = count.task(text="apple", letter="p")
    apple.slug = "apple"
"""
ROWS = """
    {"env": {"name": "letters"}, "scenario": "count", "args": {"text": "zebra", "letter": "z"}, "slug": "zebra"}

    {"env": {"name": "letters"}, "scenario": "count", "args": {"text": "apple", "letter": "p"}, "slug": "apple"}
"""


class TestPlugin(PluginContract):
    plugin = "hud_local"
    distribution = "hud-local"


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> LocalBackend:
        return LocalBackend()


class TestNop(AgentContract):
    @pytest.fixture
    def agent(self) -> NopAgent:
        return NopAgent()


class TestOracle(AgentContract):
    @pytest.fixture
    def agent(self) -> Agent:
        return OracleAgent().with_solution(Solution(answer="3"))

    @pytest.fixture
    def sleeping(self, tmp_path: Path) -> Agent:
        calls = (ToolCall("slow", {"marks": str(tmp_path)}),)
        return OracleAgent().with_solution(Solution(calls=calls, answer="3"))


class TestScripted(AgentContract):
    @pytest.fixture
    def agent(self, write: Write) -> ScriptedAgent:
        return self.playing(write, '{"answer": 3}')

    @pytest.fixture
    def stumbling(self, write: Write) -> ScriptedAgent:
        return self.playing(write, '{"calls": [{"name": "boom"}], "answer": "3"}')

    @pytest.fixture
    def endless(self, write: Write) -> ScriptedAgent:
        calls = ", ".join(['{"name": "echo", "arguments": {"text": "hi"}}'] * 20)
        return self.playing(write, f'{{"calls": [{calls}], "answer": "3"}}')

    @pytest.fixture
    def sleeping(self, write: Write) -> ScriptedAgent:
        return self.playing(write, '{"calls": [{"name": "slow", "arguments": {"marks": "/tmp"}}]}')

    @staticmethod
    def playing(write: Write, script: str) -> ScriptedAgent:
        return ScriptedAgent(file=str(write("script.json", script)))


class SourceContract(TaskSourceContract):
    """Two tasks, whose alphabetical order is not the order of their definition."""

    labels = ("zebra", "apple")


class TestPythonSource(SourceContract):
    missing = "no/such/tasks.py"

    @pytest.fixture
    def source(self) -> PythonSource:
        return PythonSource()

    @pytest.fixture
    def good_ref(self, letters: Path, write: Write) -> str:
        return str(write("tasks.py", TASKS))


class TestDirectorySource(SourceContract):
    missing = "./no/such/folder"

    @pytest.fixture
    def source(self) -> DirectorySource:
        return DirectorySource()

    @pytest.fixture
    def good_ref(self, letters: Path, write: Write) -> str:
        return str(write("tasks.py", TASKS).parent)


class TestRowSource(SourceContract):
    missing = "no/such/tasks.jsonl"

    @pytest.fixture
    def source(self) -> RowSource:
        return RowSource()

    @pytest.fixture
    def good_ref(self, write: Write) -> str:
        return str(write("tasks.jsonl", ROWS))

    @pytest.fixture
    def bad_ref(self, write: Write) -> str:
        return str(write("bad.jsonl", '{"slug": 1}\n{"args": []}'))
