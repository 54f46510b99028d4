"""The Docker example that users know, word for word: `hud build .`, then a script with `connect_image`."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from hud_docker.building.template import dockerfile_text

pytestmark = pytest.mark.slow  # each builds an image and starts containers of it
DOCS = Path(__file__).parents[3] / "docs"
SCRIPT = """
import asyncio
from hud import Environment

env = Environment("my-env")
env.connect_image("my-env:latest")

async def main():
    result = await env({task}).run("claude-sonnet-4-5")
    print(f"Reward: {{result.reward}}")

asyncio.run(main())
"""


class Claude(http.server.BaseHTTPRequestHandler):
    """A model that orders what it is asked for, once, by the tool `order`; and says 3 where there is no such tool."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        tools = [tool["name"] for tool in asked.get("tools", ())]
        is_new = len(asked["messages"]) == 1
        content: list[dict[str, Any]] = [{"type": "text", "text": "3"}]
        if "order" in tools and is_new:
            content = [{"type": "tool_use", "id": "call_1", "name": "order", "input": {"product": "Swift 14"}}]
        self._answer(content, "tool_use" if content[0]["type"] == "tool_use" else "end_turn")

    def _answer(self, content: list[dict[str, Any]], stop_reason: str) -> None:
        usage = {"input_tokens": 5, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
        data = json.dumps({**message, "content": content, "stop_reason": stop_reason, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def claude() -> Iterator[dict[str, str]]:
    """The variables that lead to the model."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Claude) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}", "ANTHROPIC_API_KEY": "none"}
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, docker: APIClient) -> Iterator[Path]:
    """An empty folder ``my-env``. The images of that name go afterwards, and no container may be left."""
    path = tmp_path / "my-env"
    path.mkdir()
    yield path
    left = docker.containers(all=True, filters={"ancestor": "my-env:latest"})
    for image in docker.images("my-env"):
        docker.remove_image(image["Id"], force=True)
    assert left == []


def run(folder: Path, *words: str, stdin: str = "", **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **variables},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_base(dockerfile: str, base: str) -> str:
    """Begin with an image that has this checkout's hud, as it is on no index."""
    assert "ARG BASE=python:3.11-slim\n" in dockerfile
    return dockerfile.replace("ARG BASE=python:3.11-slim\n", f"ARG BASE={base}\n")


def test_the_letter_counter(folder: Path, base_image: str, claude: dict[str, str]) -> None:
    shutil.copy(DOCS / "tutorial" / "letter_counter" / "env.py", folder)
    (folder / "Dockerfile").write_text(with_base(dockerfile_text(), base_image))
    run(folder, "-m", "hud", "build", ".")
    (folder / "script.py").write_text(SCRIPT.format(task='"count", text="strawberry", letter="r"'))
    assert run(folder, "script.py", **claude) == "Reward: 1.0\n"


def test_an_environment_with_postgresql(folder: Path, base_image: str, claude: dict[str, str]) -> None:
    """The how-to's whole example: two runs of it, each with a database of its own, and the phases of `hud debug`."""
    shutil.copytree(DOCS / "how-to" / "shop", folder, dirs_exist_ok=True)
    (folder / "Dockerfile").write_text(with_base((folder / "Dockerfile").read_text(), base_image))
    run(folder, "-m", "hud", "build", ".")
    for _ in range(2):
        assert run(folder, "script.py", **claude) == "Reward: 1.0\n"
    job = run(folder, "-m", "hud", "eval", "tasks.py", "oracle", "--full", "--json")
    assert json.loads(job)["summary"]["mean"] == 1.0
    assert "reward 0.000" in run(folder, "-m", "hud", "dev", "cheapest-lamp", stdin='search {"kind": "lamp"}\ngrade\n')
    said = run(folder, "-m", "hud", "debug", "my-env:latest", "--args", '{"product": "laptop"}')
    assert "✓ Phase 5: It is graded, and sessions are isolated" in said
