"""Both ways with hud-python 0.5.41: its client runs scenarios of ours, our client runs scenarios of its `hud dev`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend

pytestmark = [
    pytest.mark.slow,
    # The SDK's client leaves the event streams of servers of the older protocol to the garbage collector; trio tells.
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
]

HERE = Path(__file__).parent
# A scenario, what it expects, the answer, and the reward that is right.
CASES: list[tuple[str, Any, str, float]] = [
    ("say", "three", "three", 1.0),
    ("say", "three", "two", 0.0),
    ("say", "007", "007", 1.0),
    ("say", "true", "true", 1.0),
    ("say", "null", "null", 1.0),
    ("say", " 1.50 ", " 1.50 ", 1.0),
    ("say", '"quoted"', '"quoted"', 1.0),
    ("say", '{"a": 1}', '{"a": 1}', 1.0),
    ("say", "[1, 2]", "[1, 2]", 1.0),
    ("number", 42, "42", 1.0),
    ("number", 42, "41", 0.0),
    ("flag", True, "true", 1.0),
    ("flag", False, "false", 1.0),
    ("counts", {"r": 3}, '{"r": 3}', 1.0),
]


# One of each type, where each takes a process of its own.
FEW: list[tuple[str, Any, str, float]] = [
    ("say", "007", "007", 1.0),
    ("number", 42, "41", 0.0),
    ("flag", True, "true", 1.0),
]


@contextmanager
def our_server(peers: Any, hud_dev: list[str], transport: str) -> Iterator[dict[str, Any]]:
    if transport == "stdio":
        yield {"command": hud_dev[0], "args": [*hud_dev[1:], "--stdio"]}
        return
    with peers.serving(*hud_dev, "--port", "{port}") as url:
        yield {"url": url}


@pytest.mark.parametrize(("transport", "cases"), [("http", CASES), ("stdio", FEW)])
def test_its_client_gets_the_right_rewards_from_our_server(
    transport: str, cases: list[Any], peers: Any, hud_dev: list[str]
) -> None:
    with our_server(peers, hud_dev, transport) as server:
        asked = [json.dumps(server), json.dumps([case[:3] for case in cases])]
        reports = peers.report(peers.python("hud", "clients/hud_client.py", *asked))
    rewards = [(*case[:3], report["reward"]) for case, report in zip(cases, reports, strict=True)]
    assert rewards == cases
    assert all(report["tools"] == ["add", "boom", "picture", "reload"] for report in reports)
    assert all(report["sum"] == "5" for report in reports)
    assert "Say 007" in [report["prompt"] for report in reports]


def test_its_commands_set_up_and_grade_on_our_server(peers: Any, hud_dev: list[str]) -> None:
    with peers.serving(*hud_dev, "--port", "{port}") as url:
        setup = ["setup", "say", "--args", '{"expected": "007"}', "--url", url]
        prepared = peers.run(peers.program("hud", "hud", "scenario", *setup))
        assert "Say 007" in prepared.stdout, prepared.stderr
        graded = peers.run(peers.program("hud", "hud", "scenario", "grade", "say", "--answer", "007", "--url", url))
    assert json.loads(graded.stdout)["reward"] == 1.0, graded.stderr


def test_our_commands_run_scenarios_of_its_server(peers: Any, hud_dev: list[str], its_hud_dev: str) -> None:
    run = ["run", "number", "--args", '{"expected": 42}', "--answer", "42", "--url", its_hud_dev]
    ran = peers.run([hud_dev[0], "scenario", *run])
    assert json.loads(ran.stdout)["reward"] == 1.0, ran.stderr


# Answers that its server decodes although its scenario asks for text, or decodes before it looks at the type: its own
# client gets 0.0 for these, too.
DECODED = [("say", '{"a": 1}'), ("say", "[1, 2]"), ("counts", '{"r": 3}')]
ITS_CASES = [
    pytest.param(
        *case,
        marks=[pytest.mark.xfail(reason="its server decodes objects and lists in answers", raises=AssertionError)]
        if (case[0], case[2]) in DECODED
        else [],
    )
    for case in CASES
]


@pytest.fixture(scope="module")
def its_hud_dev(peers: Any) -> Iterator[str]:
    with peers.serving(*its_command(peers), "--port", "{port}", cwd=HERE) as url:
        yield url


def its_command(peers: Any) -> list[str]:
    command: list[str] = peers.program("hud", "hud", "dev", "letters:env")
    return command


@pytest.mark.parametrize(("scenario", "expected", "answer", "reward"), ITS_CASES)
async def test_our_client_gets_the_right_reward_from_its_server(
    its_hud_dev: str, scenario: str, expected: Any, answer: str, reward: float
) -> None:
    async with MCPBackend().open(EnvRef("letters", "mcp", {"url": its_hud_dev})) as session:
        prompt = await session.setup(scenario, {"expected": expected})
        assert str(expected) in prompt.text
        assert (await session.call_tool("add", a=2, b=3)).text == "5"
        assert (await session.grade(Answer(text=answer))).reward == reward


async def test_our_client_gets_the_right_rewards_from_its_server_over_stdio(peers: Any) -> None:
    program, *args = its_command(peers)
    options = {"command": program, "args": [*args, "--stdio"], "cwd": str(HERE), "env": peers.environment}
    async with MCPBackend().open(EnvRef("letters", "mcp", options)) as session:
        for scenario, expected, answer, reward in FEW:
            assert str(expected) in (await session.setup(scenario, {"expected": expected})).text
            assert (await session.call_tool("add", a=2, b=3)).text == "5"
            assert (await session.grade(Answer(text=answer))).reward == reward
