"""Engines of a test's own, to be killed and filled up: beside the one that all tests share, and without a network."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker import APIClient

STARTUP = 60
IMAGE = "hud-test-nothing:1"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64")


class OwnEngine:
    """A Docker engine with everything in a folder of its own.

    It lives in a network namespace of its own, too: without a bridge, an engine takes the shared one's away.

    Args:
        folder: Short, for the sake of its socket's path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/s"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where it keeps what it keeps."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ["--data-root", self.data, "--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid"]
        network = ["--bridge", "none", "--iptables=false", "--ip-masq=false", "--host", self.url]
        spaces = ["--containerd-namespace", "hud-test", "--containerd-plugins-namespace", "hud-test-plugins"]
        self._launch(["unshare", "--net", "dockerd", *map(str, where), *network, *spaces])

    def _launch(self, command: list[str], **variables: str) -> None:
        env = {**os.environ, **variables}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        end = time.monotonic() + STARTUP
        while time.monotonic() < end and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.1)
        raise AssertionError(f"the engine did not start:\n{self._log.read_text()[-3000:]}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knocking:
            try:
                knocking.connect(str(self.folder / "s"))
            except OSError:
                return False
        with contextlib.suppress(OSError), self.client() as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)
        # Its containerd dies with it, and is taken for alive where nobody reaps it.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it, and what it had started."""
        self._end(signal.SIGTERM)
        for command in Path("/proc").glob("[0-9]*/cmdline"):  # what a crash of it has left behind
            with contextlib.suppress(OSError):
                if str(self.folder) in command.read_text("utf-8", "replace"):
                    os.kill(int(command.parent.name), signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(STARTUP)
            self._process = None

    def client(self) -> APIClient:
        """Look at it from outside."""
        return APIClient(self.url, version="1.41")

    def add_image(self) -> None:
        """Give it an image with nothing in it."""
        with self.client() as client:
            dockerfile = io.BytesIO(b"FROM scratch\nLABEL hud-test=nothing")
            said = list(client.build(fileobj=dockerfile, tag=IMAGE, decode=True, rm=True))
        assert not [line for line in said if "error" in line], said


@contextlib.contextmanager
def own_engine(kind: type[OwnEngine] = OwnEngine, *, size: str | None = None) -> Iterator[OwnEngine]:
    """Run an engine; with a `size`, such as ``64m``, its disk is no larger."""
    folder = Path(tempfile.mkdtemp(prefix="hud-e-"))
    engine = kind(folder)
    engine.data.mkdir()
    if size:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "hud-test", engine.data], check=True)
    try:
        engine.start()
        engine.add_image()
        yield engine
    finally:
        engine.stop()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
        for mount in reversed(mounts):
            subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(folder)


class OwnPodman(OwnEngine):
    """Podman, as an engine that speaks Docker's API, with everything in a folder of its own."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = self.folder / "containers.conf"
        # What Podman gives containers by default is more than some machines let root give.
        settings.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
        where = [f"--root={self.data}", f"--runroot={self.folder}/run"]
        self._launch(["podman", *where, "system", "service", "--time=0", self.url], CONTAINERS_CONF=str(settings))


def host_options(environment: Path, root: Path) -> dict[str, Any]:
    """Give the options of a container that runs this machine's Python, on an image with nothing in it."""
    seen = dict.fromkeys([*SYSTEM, sys.base_prefix, sys.prefix, str(root)])
    return {
        "image": IMAGE,
        "mounts": [*(f"{path}:{path}:ro" for path in seen if Path(path).exists()), f"{environment}:/app:ro"],
        "workdir": "/app",
        "network": "none",
        "command": [sys.executable, "-m", "hud", "dev", "env:env", "--stdio"],
    }
