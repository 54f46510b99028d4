"""Somebody else's command-line agent, with a scripted model behind it, in a whole job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stub_endpoint import StubEndpoint, call, say, streamed

pytestmark = pytest.mark.slow

AGENT = "HUD_TEST_QWEN"
KEY = "sk-planted-0123456789"
TASKS = """
from hud import Environment

env = Environment("numbers")


@env.tool
def double(number: int) -> int:
    \"\"\"Double a number.\"\"\"
    return 2 * number


@env.scenario("double")
async def doubling(number: int):
    answer = yield f"What is twice {number}?"
    yield answer == str(2 * number)


tasks = [doubling.task(number=number) for number in (3, 21)]
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the agent as ``qwen``; without it skip, but never in CI."""
    script = os.environ.get(AGENT)
    if not script and os.environ.get("CI"):
        pytest.fail(f"{AGENT} is not set: CI runs this test, with the agent that `nox -s suite` installs")
    if not script:
        pytest.skip(f"{AGENT} is not set; `nox -s suite` installs the agent and sets it")
    folder = tmp_path / "bin"
    folder.mkdir()
    node = shutil.which("node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    qwen = folder / "qwen"
    qwen.write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n', "utf-8")
    qwen.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def decide(request: Any) -> Any:
    """Call the tool with the number in the question, then say what it gave."""
    messages = request.body["messages"]
    if messages[-1]["role"] == "tool":
        content = messages[-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        return streamed(say(text.splitlines()[-1]))  # what comes before is the same as data
    number = json.dumps(messages[-1]).rpartition("What is twice ")[2].partition("?")[0]
    return streamed(call(("mcp__tools__double", {"number": int(number)})))


def test_a_coding_agent_solves_tasks_with_the_tools_of_the_environment(path: str, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, "utf-8")
    hud = [sys.executable, "-m", "hud", "eval", "tasks.py", "cli", "-c", "preset=qwen_code", "-m", "stub"]
    with StubEndpoint(decide) as endpoint:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
        env = {**kept, "HOME": str(tmp_path), "PATH": path, "OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": KEY}
        ran = subprocess.run(
            [*hud, "--all", "-y", "--json"],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert [rollout["reward"] for rollout in report["rollouts"]] == [1.0, 1.0], ran.stdout
    records = [file.read_text("utf-8", "replace") for file in (tmp_path / ".hud").rglob("*") if file.is_file()]
    assert any('"number": 21' in text or '"number":21' in text for text in records)
    assert any("mcp_servers" in text for text in records), "the transcript is in the record"
    assert all(KEY not in text for text in [*records, ran.stdout, ran.stderr])
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in endpoint.requests)
