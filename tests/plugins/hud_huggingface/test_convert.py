"""`hud convert`: what it writes means the same, runs the same, and says what was corrected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hud_core import Kernel, Task, run
from hud_core.errors import ConfigError
from hud_core.model.codec import dump_task
from hud_huggingface.convert import converted
from hud_huggingface.legacy import read_legacy_task

Make = Callable[..., Any]

# The SDK's client leaves event streams over HTTP to the garbage collector; trio tells.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")


def hud(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hud")), *words]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)


def meaning(task: Task) -> dict[str, Any]:
    """Everything about a task but where its scenario is written."""
    return {name: value for name, value in dump_task(task).items() if name not in ("env", "scenario")}


async def loaded(path: Path) -> list[Task]:
    return [task async for task in Kernel().source_for(str(path)).load(str(path))]


async def test_a_converted_file_has_the_same_tasks_and_runs_the_same(row: Make, counter: Any, tmp_path: Path) -> None:
    odd = {
        "counter": {"command": sys.executable, "arguments": [*counter["counter"]["args"], "${A:b}", "$PATH", "$NONE"]}
    }
    rows = [
        row(mcp_config=odd, id=1, system_prompt="Be kind."),
        row(
            id="two",
            agent_config={"initial_screenshot": False, "allowed_tools": ["act"]},
            metadata={"a": ['"""', "\\"]},
        ),
        row(id="three", setup_tool=[{"hub": {"put": {"number": 1}}}], evaluate_tool={"evaluate": {"target": 4}}),
        row(id="four", setup_tool={"gone": {}}, integration_test_tool=None),
        row(id="five", mcp_config={"2nd class!": {"url": "${NO_SUCH_URL}"}}, prompt='a \\ """ \' \n {x} é'),
    ]
    (tmp_path / "old.json").write_text(json.dumps(rows))
    result = hud("convert", "old.json", "-o", "tasks.py")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "wrote tasks.py; what was corrected in rows is said at its top; try it: hud eval tasks.py\n"
    ran = hud("eval", "tasks.py", "integration_test", "--task-ids", "three", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["summary"]["mean"]) == (0, 1.0), ran.stderr
    text = (tmp_path / "tasks.py").read_text()
    assert "# - 'arguments' beside a command is 'args': 0\n" in text
    assert "# - 'id' is text, and was written as a number: 0\n" in text
    assert f"{counter['counter']['args'][0]}" in text
    old = [read_legacy_task(one).to_task() for one in rows]
    new = await loaded(tmp_path / "tasks.py")
    assert [meaning(task) for task in new] == [meaning(task) for task in old]
    before = await run(old, "oracle", max_concurrent=1, save=False, retries=None)
    after = await run(new, "oracle", max_concurrent=1, save=False, retries=None)
    outcomes = [[(r.reward, r.cause, r.error, r.evaluation) for r in job] for job in (before, after)]
    assert outcomes[0] == outcomes[1]
    assert [reward for reward, *_ in outcomes[0]] == [1.0, 1.0, 1.0, None, None]


def test_what_cannot_be_converted_is_said_and_nothing_is_written(row: Make, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(f"{json.dumps(row())}\n{json.dumps(row(setup_tool=3))}\n")
    result = hud("convert", "bad.jsonl", "-o", "tasks.py")
    assert result.returncode == 2
    assert "setup_tool" in result.stderr
    assert not (tmp_path / "tasks.py").exists()
    (tmp_path / "good.jsonl").write_text(json.dumps(row()))
    (tmp_path / "tasks.py").write_text("mine")
    result = hud("convert", "good.jsonl", "-o", "tasks.py")
    assert (result.returncode, (tmp_path / "tasks.py").read_text()) == (2, "mine")
    assert "--force" in result.stderr
    assert hud("convert", "good.jsonl", "-o", "tasks.json").returncode == 2
    shown = hud("convert", "good.jsonl")
    assert shown.stdout.startswith('"""Tasks that `hud convert` wrote from good.jsonl.')
    assert hud("convert", "good.jsonl", "-o", "tasks.py", "--force").returncode == 0
    assert (tmp_path / "tasks.py").read_text() == shown.stdout


def test_only_old_tasks_are_converted() -> None:
    with pytest.raises(ConfigError, match="row 0 of x is no LegacyTask"):
        converted([Task(scenario="a", args={})], "x")
    with pytest.raises(ConfigError, match="there are no tasks"):
        converted([], "x")


@pytest.mark.parametrize("names", [["hud"], ["task"], ["2"], ["!"], ["class"], ["a", "b"], ["a b", "a-b"], ["Tasks_x"]])
def test_environments_have_names_of_their_own(names: list[str], tmp_path: Path) -> None:
    tasks = [
        read_legacy_task({"prompt": "p", "mcp_config": {name: {"url": f"http://x/{place}"}}}, "t")
        for place, name in enumerate([*names, *names])
    ]
    found: dict[str, Any] = {"__name__": "tasks"}
    exec(compile(converted(tasks, 'a"""\n\\u'), "tasks.py", "exec"), found)
    assert len({id(task.env) for task in found["tasks"]}) == len(found["tasks"]) == len(tasks)
