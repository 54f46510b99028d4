"""A coding agent's own command line, with a scripted model behind it, drives a tool of `hud dev`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stub_endpoint import StubEndpoint, call, say, streamed

pytestmark = pytest.mark.slow

AGENT = "HUD_TEST_QWEN"
TOOL = "mcp__letters__add"
SETTINGS = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}


@pytest.fixture
def agent(peers: Any) -> list[str]:
    """The command of the coding agent; without it skip, but never in CI."""
    script = os.environ.get(AGENT)
    if not script and os.environ.get("CI"):
        pytest.fail(f"{AGENT} is not set: CI runs this test, with the agent that `nox -s suite` installs")
    if not script:
        pytest.skip(f"{AGENT} is not set; `nox -s suite` installs the agent and sets it")
    command: list[str] = peers.node(script)  # an absolute path stays as it is
    return command


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, peers: Any, hud_dev: list[str]) -> Iterator[dict[str, Any]]:
    """Our `hud dev`, as the agent's settings name it."""
    if request.param == "stdio":
        yield {"command": hud_dev[0], "args": [*hud_dev[1:], "--stdio"]}
        return
    with peers.serving(*hud_dev, "--port", "{port}") as url:
        yield {"httpUrl": url}


@contextmanager
def model() -> Iterator[Any]:
    """A model that calls the tool, and then says what it gave."""

    def decide(request: Any) -> Any:
        last = request.body["messages"][-1]
        return streamed(call((TOOL, {"a": 2, "b": 3})) if last["role"] == "user" else say(f"It gave {last['content']}"))

    with StubEndpoint(decide) as endpoint:
        yield endpoint


def ask(agent: list[str], server: dict[str, Any], peers: Any, endpoint: Any) -> subprocess.CompletedProcess[str]:
    """Run the agent with a server and a model."""
    settings = Path(peers.home, ".qwen", "settings.json")
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(json.dumps({**SETTINGS, "mcpServers": {"letters": {**server, "trust": True}}}), "utf-8")
    to = ["--auth-type", "openai", "--openai-base-url", endpoint.url, "--openai-api-key", "none", "--model", "stub"]
    ran: subprocess.CompletedProcess[str] = peers.run(
        [*agent, *to, "--output-format", "json", "--prompt", "What is 2 + 3?"]
    )
    return ran


def test_a_coding_agent_calls_our_tool(agent: list[str], server: dict[str, Any], peers: Any) -> None:
    with model() as endpoint:
        ran = ask(agent, server, peers, endpoint)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    messages = json.loads(ran.stdout)
    assert {"name": "letters", "status": "connected"} in messages[0]["mcp_servers"]
    assert messages[-1]["is_error"] is False
    assert messages[-1]["result"].startswith("It gave ")
    answers = [message for body in endpoint.bodies for message in body["messages"] if message["role"] == "tool"]
    assert any(block["text"].endswith("5") for answer in answers for block in answer["content"]), answers


def test_a_coding_agent_at_the_address_of_an_episode_sees_what_the_scenario_shows(
    agent: list[str], peers: Any, hud_dev: list[str]
) -> None:
    scenario = [hud_dev[0], "scenario"]
    with peers.serving(*hud_dev, "--port", "{port}") as url, model() as endpoint:
        episode = json.loads(peers.run([*scenario, "setup", "still", "--json", "-u", url]).stdout)
        ran = ask(agent, {"httpUrl": episode["address"]}, peers, endpoint)
        graded = json.loads(peers.run([*scenario, "grade", "-A", json.loads(ran.stdout)[-1]["result"]]).stdout)
    told = json.dumps(endpoint.bodies)
    assert "mcp__letters__boom" in told
    assert "mcp__letters__reload" not in told
    assert "mcp__letters__picture" not in told
    assert graded["reward"] == 1.0
