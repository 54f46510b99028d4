"""Rows as people wrote them: all of them load and mean the same afterwards; those with servers that exist here run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hud_core.errors import ConfigError
from hud_core.model.codec import dump_task, load_task
from hud_huggingface.convert import converted
from hud_huggingface.legacy import LegacyTask, is_v4_format, read_legacy_task
from hud_huggingface.running import run_single_task

CASES = Path(__file__).parents[4] / "shared" / "cases" / "legacy"
ROWS = [json.loads(line) for line in Path(__file__).parent.joinpath("rows", "real.jsonl").read_text().splitlines()]
FIELDS = ("prompt", "setup_tool", "evaluate_tool", "integration_test_tool", "metadata")
SECRET = "sk-planted-openai"


def rows_of(path: Path) -> list[Any]:
    text = path.read_text("utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    data = json.loads(text)
    return data if isinstance(data, list) else [data]


def check(row: dict[str, Any]) -> LegacyTask:
    """See that a row loads, and that whatever it becomes means the same."""
    task = read_legacy_task(row)
    assert task.row == row
    assert read_legacy_task(task.model_dump()) == task
    assert read_legacy_task(json.loads(task.model_dump_json())) == task
    flat = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
    assert read_legacy_task(flat) == task  # as columns of datasets hold it
    dumped = task.model_dump()
    for name in FIELDS:
        if row.get(name):
            assert without_defaults(dumped[name]) == without_defaults(row[name]), name
    assert dump_task(load_task(dump_task(task.to_task()))) == dump_task(task.to_task())
    return task


def without_defaults(value: Any) -> Any:
    """Leave out what a call says by leaving it out."""
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    return {key: item for key, item in value.items() if item != {}} if isinstance(value, dict) else value


@pytest.mark.skipif(not CASES.is_dir(), reason=f"{os.path.relpath(CASES)} is not there: no task files of others")
def test_every_row_of_others_loads_and_means_the_same() -> None:
    found: list[LegacyTask] = []
    said: dict[str, int] = {}
    for path in sorted(CASES.iterdir()):
        tasks = [check(row) for row in rows_of(path) if is_v4_format(row)]
        found += tasks
        for line in (line for task in tasks for line in task.corrections):
            said[line] = said.get(line, 0) + 1
        if tasks:
            scope: dict[str, Any] = {"__name__": "tasks"}
            exec(compile(converted(tasks, path.name), path.name, "exec"), scope)
            assert [task.args for task in scope["tasks"]] == [task.to_task().args for task in tasks]
    assert len(found) == 525
    assert said == {
        "'system_prompt' at top level is agent_config's 'system_prompt'": 258,
        "'agent_tools' at top level is agent_config's 'allowed_tools'": 14,
        "'arguments' beside a command is 'args'": 13,
    }


@pytest.mark.parametrize("row", ROWS, ids=["blank", "2048", "tau2", "browser"])
def test_such_rows_load_and_mean_the_same(row: dict[str, Any]) -> None:
    check(row)


def test_a_key_that_is_missing_is_named_when_the_servers_are_read() -> None:
    with pytest.raises(ConfigError, match=r"mcp_config\.browser\.headers\.Authorization, needs .* HUD_API_KEY"):
        _ = read_legacy_task(ROWS[3]).mcp_config


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program ``docker`` before any other that serves what the images of the rows would."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    server = Path(__file__).parent / "servers" / "docker.py"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{server}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("row", ROWS[:3], ids=["blank", "2048", "tau2"])
async def test_such_rows_run(row: dict[str, Any], looking: Any, tmp_path: Path) -> None:
    agent = looking("act", "act", "act")
    trace = await run_single_task(read_legacy_task(row), agent)
    assert trace.reward == 1.0, trace.info
    assert not {"setup", "evaluate"} & set(agent.tools)
    assert "all is set" in agent.prompts[0].text
    written = [path.read_text() for path in (tmp_path / ".hud").rglob("*") if path.is_file()]
    assert written
    assert not [text for text in written if SECRET in text]
