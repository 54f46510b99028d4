"""Servers that are not ours, for the tests of agents; `nox -s suite` installs them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

STARTUP = 240

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Give `serving`, for fixtures of any scope."""
    return serving


@pytest.fixture
def run() -> Iterator[Callable[[AbstractContextManager[Any]], Any]]:
    """Start peers, which stop with the test."""
    with contextlib.ExitStack() as running:
        yield running.enter_context


@pytest.fixture
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what says from outside how requests travel."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def serving(variable: str, arguments: list[str], folder: Path, ready: str, **environment: str) -> Iterator[str]:
    """Run a server on a free port until its path `ready` answers; its output is shown when it never does.

    Args:
        variable: The environment variable that has its executable.
        arguments: Its command line, but for the port at the end.
        folder: Where it runs.
        ready: A path that answers once it is up.
        environment: Further environment variables.
    """
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [executable(variable), *arguments, str(port)],
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,  # with what it starts itself: a wheel's `node` is a process behind another one
        )
    try:
        wait_for(f"http://127.0.0.1:{port}{ready}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def executable(variable: str) -> str:
    """Give the server's executable; without it skip, but never in CI."""
    path = os.environ.get(variable)
    if not path and os.environ.get("CI"):
        pytest.fail(f"{variable} is not set: CI runs these tests, with the server that `nox -s suite` installs")
    if not path:
        pytest.skip(f"{variable} is not set; `nox -s suite` installs the server and sets it")
    return path


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTUP
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=10).close()
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
