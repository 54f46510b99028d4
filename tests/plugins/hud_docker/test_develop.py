"""``hud dev`` with a Dockerfile, on a real engine: builds, runs, follows what is saved, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from docker import APIClient
from mcp import Client

pytestmark = pytest.mark.slow  # each builds an image and starts containers of it

ENV = """
from pathlib import Path
from hud import Environment

env = Environment("letters")


@env.tool
def version() -> int:
    return {version}


@env.tool
def mode() -> int:
    return Path(__file__).stat().st_mode & 0o777


@env.tool
def visits() -> int:
    log = Path("/tmp/visits")
    with log.open("a") as file:
        file.write("x")
    return len(log.read_text())


@env.scenario()
async def count(text: str, times: int = 1):
    answer = yield f"{version}: how many r in {{text * times}}?"
    yield answer == str((text * times).count("r"))
"""
SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("plain")


@server.tool()
def version() -> int:
    return {version}


server.run("stdio")
"""
PATIENCE = 90
"""Seconds until something that should happen has not; the machine may have much to do."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what is tested runs in another process


class Dev:
    """A running ``hud dev``, and what it says."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "hud", "dev", "--docker", "-p", "0", "--json", *words]
        variables = {**os.environ, "NO_COLOR": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, env=variables, stdout=pipe, stderr=pipe, text=True)
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.said: list[str] = []
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put(None)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def next(self, event: str) -> dict[str, Any]:
        while (found := self.events.get(timeout=PATIENCE)) is not None:
            if found["event"] == event:
                return found
        raise AssertionError("".join(self.said))

    async def happened(self, event: str) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(self.next, event)

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.fixture
def folder(tmp_path: Path, base_image: str, docker: APIClient) -> Iterator[Path]:
    """An environment with a Dockerfile, of a name that no other test has. Its images go afterwards."""
    path = tmp_path / f"hudtest-{tmp_path.parent.name}-{tmp_path.name}".replace("_", "-").lower()[-40:]
    path.mkdir()
    lines = [f"FROM {base_image}", "WORKDIR /app", "COPY . .", 'CMD ["hud", "dev", "env:env", "--stdio"]']
    (path / "Dockerfile").write_text("\n".join(lines))
    (path / "env.py").write_text(ENV.format(version=1))
    yield path
    left = containers_of(docker, path)
    for image in docker.images(path.name):
        docker.remove_image(image["Id"], force=True)
    assert left == []


@pytest.fixture
def dev(folder: Path) -> Iterator[Callable[..., Dev]]:
    """Starts ``hud dev`` in the folder."""
    started: list[Dev] = []

    def start(*words: str) -> Dev:
        started.append(Dev(folder, *words))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def containers_of(docker: APIClient, folder: Path) -> list[str]:
    found = docker.containers(all=True, filters={"label": "org.hud.dev"})
    return [name for one in found for name in one["Names"] if folder.name[:30] in name]


def save(path: Path, text: str) -> None:
    """Save a file as editors do: write another one, and put it in the old one's place."""
    other = path.with_suffix(".saving")
    other.write_text(text, "utf-8")
    other.chmod(0o700)
    other.replace(path)


async def number_of(client: Client, tool: str) -> int:
    result = await client.call_tool(tool, {})
    assert not result.is_error, result.content
    number: int = result.structured_content["result"]
    return number


async def becomes(client: Client, version: int) -> None:
    with anyio.fail_after(PATIENCE):
        while await number_of(client, "version") != version:
            await anyio.sleep(0.05)


async def test_what_is_saved_is_loaded_in_the_container_that_runs(
    dev: Callable[..., Dev], folder: Path, docker: APIClient
) -> None:
    """The client stays connected, and so does what the container holds: files, databases."""
    running = dev("env:env", "-w", "env.py")
    serving = await running.happened("serving")
    async with Client(serving["url"]) as client:
        assert [await number_of(client, "version"), await number_of(client, "visits")] == [1, 1]
        (before,) = containers_of(docker, folder)
        save(folder / "env.py", ENV.format(version=2))
        await becomes(client, 2)
        assert await number_of(client, "visits") == 2
        assert containers_of(docker, folder) == [before]
        await running.happened("reloaded")
        given = await client.get_prompt("letters:count", {"text": "berry", "times": "2"})
        assert given.messages[0].content.text == "2: how many r in berryberry?", "a container to come has it too"
        assert len(containers_of(docker, folder)) == 2, "an episode has one of its own"
        meta = {"hud/episode": given.meta["hud/episode"]}
        assert (await client.call_tool("visits", {}, meta=meta)).structured_content == {"result": 1}
        assert (await client.call_tool("mode", {}, meta=meta)).structured_content == {"result": 0o744}
        assert await number_of(client, "mode") == 0o744
        await client.call_tool("_hud_submit", {"scenario": "count", "answer": "4"}, meta=meta)
        (score,) = (await client.read_resource("letters:count", meta=meta)).contents
        assert json.loads(score.text)["reward"] == 1.0


async def test_what_belongs_to_a_save_comes_along(dev: Callable[..., Dev], folder: Path, docker: APIClient) -> None:
    """New files, and files that are not watched: nothing is built for them, and the container stays.

    `hud dev` in there reloads also where the Dockerfile runs it by a shell.
    """
    recipe = (folder / "Dockerfile").read_text()
    (folder / "Dockerfile").write_text(recipe.replace('["hud", "dev", "env:env", "--stdio"]', "hud dev env --stdio"))
    (folder / "rules.py").write_text("VERSION = 1\n")
    running = dev("env:env", "-w", "env.py")
    serving = await running.happened("serving")
    async with Client(serving["url"]) as client:
        await becomes(client, 1)
        (before,) = containers_of(docker, folder)
        (folder / "rules.py").write_text("import limits\nVERSION = limits.LEAST + 1\n")
        (folder / "limits.py").write_text("from pathlib import Path\nLEAST = int(Path('least.txt').read_text())\n")
        (folder / "least.txt").write_text("6")
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "rules.pyc").touch()
        save(folder / "env.py", "import rules\n" + ENV.format(version="rules.VERSION"))
        await becomes(client, 7)
        assert containers_of(docker, folder) == [before]


async def test_what_is_mounted_is_not_copied(dev: Callable[..., Dev], folder: Path, docker: APIClient) -> None:
    data = folder / "data"
    data.mkdir()
    (data / "version.txt").write_text("1")
    (folder / "env.py").write_text(ENV.format(version="int(Path('data/version.txt').read_text())"))
    running = dev("env:env", "--", "-v", f"{data}:/app/data")
    serving = await running.happened("serving")
    async with Client(serving["url"]) as client:
        await becomes(client, 1)
        (before,) = containers_of(docker, folder)
        save(data / "version.txt", "2")
        await becomes(client, 2)
        (data / "more.txt").touch()
        save(folder / "env.py", ENV.format(version=3))
        await becomes(client, 3)
        assert containers_of(docker, folder) == [before]


def test_a_task_is_opened_in_a_container(folder: Path, docker: APIClient) -> None:
    """Its environment is what the image has; `tasks.py` has only the name of the scenario."""
    del docker
    lines = ["from hud import Environment", 'berry = Environment("letters")("count", text="berry")', 'berry.slug = "b"']
    (folder / "tasks.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "hud", "dev", "b", "--", "-e", "COLOUR=blue"]
    done = subprocess.run(
        command, cwd=folder, input="visits\ngrade 2\n", capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "reward 1.000\n"), done.stderr
    assert "1: how many r in berry?" in done.stderr
    (folder / "tasks.py").write_text("import nothing_there\n")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2
    assert "No module named 'nothing_there'" in done.stderr
    assert "tasks.py may name the scenario" in done.stderr


async def test_a_change_of_the_recipe_builds_again_and_clients_stay(
    dev: Callable[..., Dev], folder: Path, docker: APIClient
) -> None:
    """A build that fails changes nothing, and says why."""
    running = dev()
    serving = await running.happened("serving")
    recipe = (folder / "Dockerfile").read_text()
    async with Client(serving["url"]) as client:
        await becomes(client, 1)
        (before,) = containers_of(docker, folder)
        save(folder / "Dockerfile", recipe + "\nRUN false")
        failed = await running.happened("failed")
        assert "Dockerfile, line 5: step 5/5 failed: RUN false" in failed["error"]
        assert await number_of(client, "version") == 1
        save(folder / "env.py", ENV.format(version=3))
        save(folder / "Dockerfile", recipe + "\nENV COLOUR=blue")
        await becomes(client, 3)
        await running.happened("reloaded")
        assert containers_of(docker, folder) != [before]


async def test_a_server_that_does_not_reload_is_started_again(
    dev: Callable[..., Dev], folder: Path, docker: APIClient
) -> None:
    del docker
    (folder / "server.py").write_text(SERVER.format(version=1))
    recipe = (folder / "Dockerfile").read_text().replace('"hud", "dev", "env:env", "--stdio"', '"python", "server.py"')
    (folder / "Dockerfile").write_text(recipe)
    running = dev("-w", "server.py")
    serving = await running.happened("serving")
    async with Client(serving["url"]) as client:
        await becomes(client, 1)
        save(folder / "server.py", SERVER.format(version=2))
        await becomes(client, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_nothing_is_left_when_it_is_stopped(
    dev: Callable[..., Dev], folder: Path, docker: APIClient, number: signal.Signals
) -> None:
    running = dev()
    await running.happened("serving")
    with anyio.fail_after(PATIENCE):
        while not containers_of(docker, folder):
            await anyio.sleep(0.1)
    assert running.stop(number) == 0
    assert containers_of(docker, folder) == []
    assert any("Step 1/" in line or "#1 " in line for line in running.said), "the build is shown"


async def test_what_containers_write_is_shown(dev: Callable[..., Dev], folder: Path, docker: APIClient) -> None:
    del docker
    with (folder / "env.py").open("a") as file:
        file.write("\nprint('the shop opens')\n")
    running = dev()
    await running.happened("serving")
    while (await running.happened("log"))["text"] != "the shop opens":
        pass


async def test_a_server_that_cannot_start_says_so_and_is_mended(
    dev: Callable[..., Dev], folder: Path, docker: APIClient
) -> None:
    del docker
    (folder / "env.py").write_text("import nothing_there\n")
    running = dev()
    serving = await running.happened("serving")
    assert "No module named 'nothing_there'" in (await running.happened("failed"))["error"]
    save(folder / "env.py", ENV.format(version=4))
    await running.happened("reloaded")
    async with Client(serving["url"]) as client:
        await becomes(client, 4)


def test_an_image_that_cannot_be_built_is_an_error(folder: Path, docker: APIClient) -> None:
    del docker
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY nosuch.py /\n")
    command = [sys.executable, "-m", "hud", "dev", "--docker"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "Dockerfile, line 2: step 2/2 failed: COPY nosuch.py /" in done.stderr


def test_without_an_engine_the_way_without_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    command = [sys.executable, "-m", "hud", "dev", "--docker"]
    variables = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 3
    assert "no engine answers" in done.stderr
    assert "without a container: --no-docker" in done.stderr
