"""The source of datasets keeps the contract of task sources, for tables and for folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from hud_core.testing import PluginContract, TaskSourceContract
from hud_huggingface.parquet import write_rows
from hud_huggingface.sources import DatasetSource

ROWS = [
    {"id": "zebra", "prompt": "z", "mcp_config": {"a": {"url": "http://u"}}},
    {"slug": "apple", "scenario": "count", "args": {"n": 1}},
]
BAD = [{"id": "a", "prompt": 5, "mcp_config": {"a": {}}}, {"slug": "b", "args": []}]


class TestPlugin(PluginContract):
    plugin = "hud_huggingface"
    distribution = "hud-huggingface"


class DatasetContract(TaskSourceContract):
    labels = ("zebra", "apple")

    @pytest.fixture
    def source(self) -> DatasetSource:
        return DatasetSource()


class TestTable(DatasetContract):
    missing = "no/such/tasks.parquet"

    @pytest.fixture
    def good_ref(self, tmp_path: Path) -> str:
        write_rows(ROWS, tmp_path / "tasks.parquet")
        return str(tmp_path / "tasks.parquet")

    @pytest.fixture
    def bad_ref(self, tmp_path: Path) -> str:
        write_rows(BAD, tmp_path / "bad.parquet")
        return str(tmp_path / "bad.parquet")


class TestFolder(DatasetContract):
    @pytest.fixture
    def good_ref(self, tmp_path: Path) -> str:
        (tmp_path / "set" / "data").mkdir(parents=True)
        write_rows(ROWS[:1], tmp_path / "set" / "data" / "train-00000-of-00002.parquet")
        write_rows(ROWS[1:], tmp_path / "set" / "data" / "train-00001-of-00002.parquet")
        return str(tmp_path / "set")

    @pytest.fixture
    def missing_ref(self, good_ref: str) -> str:
        return f"{good_ref}:test"

    @pytest.fixture
    def bad_ref(self, tmp_path: Path) -> str:
        (tmp_path / "bad").mkdir()
        write_rows(BAD, tmp_path / "bad" / "rows.parquet")
        return str(tmp_path / "bad")
