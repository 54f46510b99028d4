"""Clients that are killed in every phase, and clients of two users side by side: nothing is left, nobody is harmed."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jobbing
import pytest
from docker import APIClient

from hud_docker.commands import gc
from hud_docker.ownership import OWNER

ROUNDS = 20
PHASES = [
    ("job_started", 1),  # creating
    ("created", 1),
    ("started", 1),
    ("log_line setting up", 1),
    ("prompted", 1),  # the agent runs
    ("log_line grading", 1),
    ("graded", 1),  # tearing down
    ("created", 3),  # containers that are made ready ahead of need
]
"""What to wait for, and how many of it, before the client is killed."""
AT_ONCE = 4
PATIENCE = 120


@pytest.fixture(scope="module")
def letters(image: Callable[[str, dict[str, str]], str]) -> str:
    return image("letters", {"env.py": jobbing.ENV})


class Client:
    """A job in a process of its own, and what it and the engine say of it."""

    def __init__(self, docker: APIClient, prefix: list[str], **job: Any) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, jobbing.FILE, json.dumps(job)], stdout=subprocess.PIPE, text=True
        )
        self.said: queue.Queue[str] = queue.Queue()
        self.docker = docker
        self._events = docker.events(decode=True, filters={"label": f"org.hud.pid={self.process.pid}"})
        self._threads = [threading.Thread(target=target) for target in (self._listen, self._watch)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(line.strip())
        self.said.put("the end")

    def _watch(self) -> None:
        for event in self._events:
            if event["Type"] == "container" and event["Action"] in ("create", "start"):
                self.said.put({"create": "created", "start": "started"}[event["Action"]])

    def until(self, word: str, number: int = 1) -> str:
        """Wait until something has been said so often."""
        end = time.monotonic() + PATIENCE
        said = ""
        while said != "the end" and time.monotonic() < end:
            said = self.said.get(timeout=PATIENCE)
            number -= said.startswith(word)
            if number == 0:
                return said
        raise AssertionError(f"the client never said {word!r}; at last it said {said!r}, and what is above")

    def close(self) -> None:
        """Kill it, and stop listening."""
        self.process.kill()
        self.process.wait()
        self._events.close()
        for thread in self._threads:
            thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def client(docker: APIClient, *prefix: str, **job: Any) -> Iterator[Client]:
    running = Client(docker, list(prefix), **job)
    try:
        yield running
    finally:
        running.close()


def left_by(docker: APIClient, pid: int) -> list[str]:
    """Name what a client has left, seen from outside."""
    filters = {"label": [OWNER, f"org.hud.pid={pid}"]}
    found = [it["Names"][0] for it in docker.containers(all=True, filters=filters)]
    found += [it["Name"] for it in docker.networks(filters=filters)]
    return found + [it["Name"] for it in docker.volumes(filters=filters)["Volumes"] or ()]


def gc_by(user: list[str]) -> None:
    subprocess.run([*user, sys.executable, "-m", "hud", "gc"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_nothing_is_left_of_clients_that_are_killed_in_any_phase(docker: APIClient, letters: str) -> None:
    phases = list(itertools.islice(itertools.cycle(PHASES), ROUNDS))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        left = list(threads.map(lambda phase: _round(docker, letters, *phase), phases))
    assert left == [[]] * ROUNDS


def _round(docker: APIClient, letters: str, word: str, count: int) -> list[str]:
    """Kill a client when something has happened so often; give what is left after `hud gc`."""
    with client(docker, image=letters, max_concurrent=3 if count > 1 else 1) as running:
        running.until(word, count)
        assert left_by(docker, running.process.pid) or word == "job_started"
        running.process.kill()
        running.process.wait()
        for _ in range(5):  # the engine may still be creating something for it when it dies, and be slow at that
            gc.run(Namespace(dry_run=False, json=False))
            if not (left := left_by(docker, running.process.pid)):
                break
        return left


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes other users")
@pytest.mark.slow
def test_two_users_side_by_side_do_not_harm_each_other(docker: APIClient, letters: str) -> None:
    """Each is in the group of the engine's socket, cannot signal the other's processes, and sweeps all the time."""
    group = Path(os.environ.get("DOCKER_HOST", "/var/run/docker.sock").removeprefix("unix://")).stat().st_gid
    may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # this tree, wherever it is
    rights = [f"--regid={group}", "--clear-groups", *may_read]
    anna, ben = (["setpriv", f"--reuid={uid}", *rights] for uid in (60001, 60002))
    with (
        client(docker, *anna, image=letters, number=2) as hers,
        client(docker, *ben, image=letters, number=2) as his,
        client(docker, *ben, image=letters) as dying,
    ):
        for running in (hers, his, dying):
            running.until("prompted")
        gc_by(anna)
        gc_by(ben)
        dying.process.kill()
        dying.process.wait()
        gc_by(anna)
        assert left_by(docker, dying.process.pid) == [], "whoever shares the engine cleans up after the dead"
        for running in (hers, his):
            outcomes = json.loads(running.until("outcomes").partition(" ")[2])
            assert [reward for reward, *_ in outcomes] == [1.0] * 2, outcomes
            assert all(attempts == 1 for *_, attempts in outcomes), outcomes
            assert running.process.wait(PATIENCE) == 0
            assert left_by(docker, running.process.pid) == []
