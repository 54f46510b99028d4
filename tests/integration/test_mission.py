"""The examples that users know, word for word: tasks in code, the five `hud eval` lines, `.run(model)`."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ENV = '''
from hud import Environment

env = Environment("letters")


@env.tool
def count_letter(text: str, letter: str) -> int:
    """Count a letter."""
    return text.count(letter)


@env.scenario()
async def count(text: str = "", letter: str = "", sentence: str = ""):
    answer = yield f"How many {letter} in {text or sentence}?"
    yield str((text or sentence).lower().count(letter)) in answer


@env.scenario("echo")
async def echo(word: str):
    answer = yield f"Say {word}"
    yield answer == word
'''
TASKS = """
from env import count

strawberry_r = count.task(text="strawberry", letter="r")
strawberry_r.slug = "strawberry-r"

mississippi_s = count.task(text="mississippi", letter="s")
mississippi_s.slug = "mississippi-s"

abracadabra_a = count.task(text="abracadabra", letter="a")
abracadabra_a.slug = "abracadabra-a"
"""
MORE_TASKS = """
from env import echo

echo_hello = echo.task(word="hello")
echo_hello.slug = "echo-hello"

add_simple = echo.task(word="3")
add_simple.slug = "add-simple"
"""
SCRIPT = """
import anyio
from env import env


async def main():
    result = await env("count", sentence="Strawberry", letter="r").run("claude-sonnet-4-5")
    print(f"Reward: {result.reward}")


anyio.run(main)
"""


COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "3"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
CLAUDES = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "3"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 1},
}


class Model(http.server.BaseHTTPRequestHandler):
    """Answers every conversation with 3, in the form that it is asked in, and remembers which models were asked."""

    models: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.models.append(body["model"])
        data = json.dumps(CLAUDES if "/v1/messages" in self.path else COMPLETION).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[tuple[dict[str, str], list[str]]]:
    """An endpoint that runs any model, as a LiteLLM proxy does, and the environment that points to it."""
    handler = type("Handler", (Model,), {"models": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    there = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", "OPENAI_BASE_URL": f"{url}/v1"}
    yield {**there, "OPENAI_API_KEY": "none"}, handler.models
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"env.py": ENV, "tasks.py": TASKS, "more.py": MORE_TASKS, "script.py": SCRIPT}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env={**os.environ, "HUD_AGENT": "", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "scored"),
    [
        ("eval tasks.py", {"strawberry-r": 1.0}),
        ("eval tasks.py --full", {"strawberry-r": 1.0, "mississippi-s": 0.0, "abracadabra-a": 0.0}),
        ("eval more.py --task-ids echo-hello,add-simple", {"echo-hello": 0.0, "add-simple": 1.0}),
        ("eval tasks.py claude --full", {"strawberry-r": 1.0, "mississippi-s": 0.0, "abracadabra-a": 0.0}),
    ],
)
def test_the_lines_of_the_tutorial_work_as_they_stand(line, scored, project, gateway):
    """Without an agent on the line the default one answers."""
    environment, models = gateway
    done = run(project, "-m", "hud", *line.split(), "--json", **{**environment, "HUD_AGENT": "claude-sonnet-4-5"})
    assert done.returncode == 0, done.stderr
    rollouts = json.loads(done.stdout)["rollouts"]
    assert {rollout["task"]: rollout["reward"] for rollout in rollouts} == scored
    assert set(models) == {"claude-sonnet-4-5"}


def test_a_model_without_an_agent_of_its_own_runs_on_the_gateway(project, gateway):
    environment, models = gateway
    done = run(project, "-m", "hud", "eval", "tasks.py", "qwen3:8b", **environment)
    assert done.returncode == 0, done.stderr
    assert models == ["qwen3:8b"]


def test_a_task_runs_with_a_model_from_a_script(project, gateway):
    environment, models = gateway
    done = run(project, "script.py", **environment)
    assert done.stdout == "Reward: 1.0\n", done.stderr
    assert models == ["claude-sonnet-4-5"]


def test_without_a_gateway_the_agent_to_install_is_named(project):
    bare = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "HUD_DISABLE_PLUGINS": "hud-anthropic"}
    done = run(project, "-m", "hud", "eval", "tasks.py", "claude", "--full", **bare)
    assert done.returncode == 2
    assert "pip install hud-anthropic" in done.stderr
    assert not (project / ".hud").exists()
