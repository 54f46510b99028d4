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
import tarfile
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
        with self._log.open("ab") as log:
            command = ["unshare", "--net", "dockerd", *map(str, where), *network, *spaces]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
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
        empty = io.BytesIO()
        tarfile.open(fileobj=empty, mode="w").close()
        with self.client() as client:
            client.import_image_from_data(empty.getvalue(), repository="hud-test-nothing", tag="1")


@contextlib.contextmanager
def own_engine(*, size: str | None = None) -> Iterator[OwnEngine]:
    """Run an engine; with a `size`, such as ``64m``, its disk is no larger."""
    folder = Path(tempfile.mkdtemp(prefix="hud-e-"))
    engine = OwnEngine(folder)
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
