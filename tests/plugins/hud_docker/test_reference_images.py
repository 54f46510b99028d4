"""Images by the conventions of hud-python: with this project's hud inside, unchanged, and with the reference itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from hud.cli.host import run as hud
from hud_core import Environment, run
from hud_core.testing import ScriptedAgent

pytestmark = pytest.mark.slow
ENV = """
from hud import Environment

env = Environment("letters")


@env.tool()
def count_letter(text: str, letter: str) -> int:
    return text.lower().count(letter.lower())


@env.scenario("count")
async def count(text: str, letter: str = "r"):
    answer = yield f"How many {letter} in {text}?"
    yield 1.0 if str(text.count(letter)) in str(answer) else 0.0
"""
REFERENCE = "FROM python:3.11-slim\nLABEL hud-test=image\nRUN pip install --quiet hud-python==0.5.41"
WITH_UV = "FROM {base}\nLABEL hud-test=image\nRUN pip install --quiet uv"
SERVED = '\nWORKDIR /app\nCOPY env.py .\nCMD ["hud", "dev", "env:env", "--stdio"]\n'
SERVED_BY_UV = (
    '\nWORKDIR /app\nCOPY . .\nCMD ["uv", "run", "--no-project", "python", "-m", "hud", "dev", "env:env", "--stdio"]\n'
)

Image = Callable[[str, Mapping[str, str]], str]


@pytest.fixture(params=["ours", "reference"])
def tag(request: pytest.FixtureRequest, image: Image, base_image: str) -> str:
    """The image of an environment of the reference's conventions."""
    first, then = (WITH_UV.format(base=base_image), SERVED_BY_UV) if request.param == "ours" else (REFERENCE, SERVED)
    return image(f"interop-{request.param}", {"Dockerfile": first + then, "env.py": ENV})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_it_is_connected_and_its_rollouts_are_graded(tag: str) -> None:
    env = Environment("near").connect_image(tag)
    agent = ScriptedAgent([("count_letter", {"text": "strawberry", "letter": "r"})], answer="3")
    job = await run([env("count", text=text) for text in ("strawberry", "pear")], agent, save=False)
    assert [rollout.reward for rollout in job] == [1.0, 0.0], [rollout.error for rollout in job]
    assert [result.text for result in agent.results] == ["3", "3"]


def test_every_phase_of_debug_passes(tag: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = hud(["debug", "--json", tag, "--args", '{"text": "berry"}', "--answer", "2"])
    said = json.loads(capfd.readouterr().out)
    assert (code, said["passed"]) == (0, True), said
    assert said["phases"][2]["found"] == ["tools: count_letter", "scenarios: letters:count(text, letter?)"]
    assert "reward of the first container: 1" in said["phases"][4]["found"]
