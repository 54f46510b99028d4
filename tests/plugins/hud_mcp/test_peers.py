"""Servers that another plugin starts, over the door that `hud_mcp` has for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from hud_core.errors import BackendError, ConfigError
from hud_core.model.evaluation import Answer
from hud_mcp import HttpOpener, Peer, PeerOpener, Pipes, open_session
from hud_mcp.wire import HARNESS_VARIABLE

PATIENCE = 60.0
ENVIRONMENT = """
import sys
from hud import Environment

env = Environment("letters")

@env.tool
def shout(text: str) -> str:
    print("noise")
    print("heard", text, file=sys.stderr)
    return text.upper()

@env.scenario("count")
async def count(word: str = "banana"):
    answer = yield f"How many letters has {word}?"
    yield float(answer == str(len(word)))
"""


class Program(Peer):
    """The least that a plugin writes: a program, and no more care than this test needs."""

    def __init__(self, *command: str, cwd: Path, failure: Exception | None = None, **env: str):
        self.command, self.cwd, self.env, self.failure = command, cwd, env, failure
        self.is_stopped = False

    async def start(self):
        if self.failure is not None:
            raise self.failure
        env = {**os.environ, **self.env}
        self.process = await anyio.open_process(self.command, stderr=PIPE, cwd=self.cwd, env=env)
        return Pipes(stdin=self.process.stdin, stdout=self.process.stdout, stderr=self.process.stderr)

    async def stop(self):
        await self.process.stdin.aclose()
        with anyio.move_on_after(PATIENCE):
            await self.ended()
        await self.process.aclose()
        self.is_stopped = True

    @property
    def has_ended(self):
        return self.process.returncode is not None

    async def ended(self):
        while not self.has_ended:
            await anyio.sleep(0.01)

    def fate(self):
        return f"it stopped with {self.process.returncode}" if self.has_ended else ""


def opener(peer, lines=None):
    def log(text, **data):
        lines.append(text)

    options = {"log": log} if lines is not None else {}
    return PeerOpener("it", "container 'it'", lambda: peer, connect_timeout=PATIENCE, timeout=PATIENCE, **options)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    return tmp_path


async def test_a_session_goes_over_what_a_plugin_brings(folder):
    command = (sys.executable, "-m", "hud", "dev", "env:env", "--stdio")
    peer = Program(*command, cwd=folder, **{HARNESS_VARIABLE: "secret"})
    lines = []
    way = opener(peer, lines)
    with anyio.fail_after(PATIENCE):
        async with open_session("letters", way, capability="secret") as session:
            prompt = await session.setup("count", {"word": "fig"})
            shouted = await session.call_tool("shout", text="a")
            score = await session.grade(Answer(text="3"))
            offered = await session.describe()
    assert prompt.text == "How many letters has fig?"
    assert (shouted.text, score.reward) == ("A", 1.0)
    assert [tool["name"] for tool in offered["tools"]] == ["shout"]
    assert offered["scenarios"][0]["name"] == "letters:count"
    assert offered["scenarios"][0]["arguments"] == [
        {"name": "word", "required": False, "default": "banana", "type": "string"}
    ]
    assert peer.is_stopped
    assert any("heard a" in line for line in lines)


async def test_how_a_peer_ended_and_what_it_wrote_is_in_the_error(tmp_path):
    script = "import sys; print('no module named env', file=sys.stderr); print('hm'); sys.exit(7)"
    peer = Program(sys.executable, "-c", script, cwd=tmp_path)
    with pytest.raises(BackendError) as caught:
        async with open_session("letters", opener(peer)):
            pass
    said = str(caught.value)
    assert said.startswith("container 'it': ")
    assert "it stopped with 7" in said
    assert "no module named env" in said
    assert "(stdout, not a message) hm" in said


async def test_lines_that_are_too_many_to_be_kept_are_said_to_be(tmp_path):
    script = "import sys; print('\\n'.join(map(str, range(2500))), file=sys.stderr)"
    lines = []
    with pytest.raises(BackendError, match="2499"):
        async with open_session("letters", opener(Program(sys.executable, "-c", script, cwd=tmp_path), lines)):
            pass
    assert lines == [*map(str, range(2000)), "(more than 2000 lines: the others are not kept)"]


@pytest.mark.parametrize("failure", [ConfigError("no such image"), BackendError("the engine is down")])
async def test_an_error_of_the_start_is_the_rollouts_as_it_is(tmp_path, failure):
    with pytest.raises(type(failure), match=str(failure)):
        async with open_session("letters", opener(Program(cwd=tmp_path, failure=failure))):
            pass


async def test_an_http_server_of_this_machine_needs_an_address_only():
    way = HttpOpener.at("it", "http://127.0.0.1:9/mcp", connect_timeout=PATIENCE, timeout=PATIENCE)
    with pytest.raises(BackendError, match=r"'it' at http://127\.0\.0\.1:9/mcp: tried streamable HTTP"):
        async with open_session("letters", way):
            pass
