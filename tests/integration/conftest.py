"""The ``hud`` command as users run it: a process of its own, in a folder of its own, with or without a terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "hud"]
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
PATIENCE = 120.0
TASKS = '''
from __future__ import annotations

import os

import anyio

from hud import Environment

env = Environment("numbers")


@env.tool
def double(number: int) -> int:
    """Double a number."""
    print("the environment prints this")
    return 2 * number


@env.scenario("double")
async def doubling(number: int, seconds: float = 0.0, broken: bool = False):
    await anyio.sleep(seconds)
    if broken:
        raise RuntimeError("the database is down")
    answer = yield f"What is twice {number}?"
    yield answer == str(2 * number)


tasks = [doubling.task(number=number) for number in range(3)]
for task in tasks:
    task.slug = f"twice-{task.args['number']}"
    task.validation = [{"name": "double", "arguments": {"number": task.args["number"]}}]
    task.answer = str(2 * task.args["number"])
'''
SLOW_TASKS = (
    TASKS.replace("range(3)", "range(30)")
    .replace("seconds: float = 0.0", "seconds: float = 600.0")
    .replace("await anyio.sleep(seconds)", "await anyio.sleep(seconds if number > 4 else 0)")
)


# Of a terminal that is not the test's: pytest-xdist's processes have them, even where there is none.
TERMINALS = ("COLUMNS", "LINES", "NO_COLOR")


def environ(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUD_") and name not in TERMINALS}
    return {**kept, "HOME": str(home), "TERM": "xterm", **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ``tasks.py``."""
    (tmp_path / "tasks.py").write_text(TASKS, "utf-8")
    return tmp_path


@pytest.fixture
def slow_folder(tmp_path: Path) -> Path:
    """A folder whose ``tasks.py`` has 5 tasks that end at once, and 25 that take ten minutes."""
    (tmp_path / "tasks.py").write_text(SLOW_TASKS, "utf-8")
    return tmp_path


@pytest.fixture
def hud(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``hud`` in the test's folder, without a terminal."""

    def run(*words: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "timeout": PATIENCE, **options}
        return subprocess.run(
            [*COMMAND, *words],
            env=environ(tmp_path, **(env or {})),
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, words: list[str], folder: Path, columns: int, env: dict[str, str]) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *COMMAND, *words],
            stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environ(folder, **env), start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.raw = ""

    @property
    def text(self) -> str:
        """What was printed, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until a text was printed."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} was not printed:\n{self.text}"
            assert self._read(), f"{text!r} was not printed:\n{self.text}"

    def wait(self) -> int:
        """Wait for the end, and give the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        """Read what there is; false at the end."""
        if not select.select([self.master], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # Linux says so when the last process has closed the terminal
            return False
        self.raw += data.decode()
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start ``hud`` in a terminal."""
    started: list[Terminal] = []

    def start(*words: str, columns: int = 100, env: dict[str, str] | None = None) -> Terminal:
        started.append(Terminal(list(words), tmp_path, columns, env or {}))
        return started[-1]

    yield start
    for one in started:
        one.close()
