"""Engines that crash, fill up, or lose an image in the middle of a job."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import jobbing
import pytest
from docker import APIClient

from hud_core import EnvRef
from hud_core.errors import Cause, verdict_for
from hud_docker.backend import DockerBackend
from hud_docker.errors import ImageMissingError
from hud_docker.ownership import OWNER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0 and not os.environ.get("CI"), reason="only root starts an engine"),
]


@pytest.fixture
def options(tmp_path: Path, pytestconfig: pytest.Config, docker: APIClient) -> dict[str, Any]:
    """The options of a container for the environment; `docker` is asked for because it installs the engine, too."""
    (tmp_path / "env.py").write_text(jobbing.ENV)
    assert pytestconfig.inipath is not None
    return engines.host_options(tmp_path, pytestconfig.inipath.parent)


def start(engine: engines.OwnEngine, **job: Any) -> subprocess.Popen[str]:
    """Run a job in a process of its own."""
    env = {**os.environ, "DOCKER_HOST": engine.url}
    command = [sys.executable, jobbing.FILE, json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def until(running: subprocess.Popen[str], word: str) -> str:
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"the client ended without {word!r}; what it said is above")


def outcomes(running: subprocess.Popen[str]) -> list[Any]:
    found: list[Any] = json.loads(until(running, "outcomes").partition(" ")[2])
    return found


def gc(engine: engines.OwnEngine) -> None:
    command = [sys.executable, "-m", "hud", "gc"]
    subprocess.run(command, check=True, env={**os.environ, "DOCKER_HOST": engine.url}, stdout=subprocess.DEVNULL)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "ballast").open("ab", buffering=0) as ballast:
        while ballast.write(bytes(1 << 12)):
            pass


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Keep a disk full, also of what is removed from it."""
    is_over = threading.Event()

    def go_on() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, -20)  # this thread's: the engine is not to be quicker
        while not is_over.wait(0.001):
            fill(folder)

    fill(folder)
    assert shutil.disk_usage(folder).free == 0
    filling = threading.Thread(target=go_on)
    filling.start()
    try:
        yield
    finally:
        is_over.set()
        filling.join()


def held(engine: engines.OwnEngine) -> list[Any]:
    with engine.client() as client:
        filters = {"label": OWNER}
        found = [*client.containers(all=True), *client.networks(filters=filters)]
        return [*found, *(client.volumes()["Volumes"] or ())]


@pytest.mark.skipif(not shutil.which("podman") and not os.environ.get("CI"), reason="there is no podman")
def test_podman_runs_containers_and_keeps_nothing_of_the_dead(options: dict[str, Any]) -> None:
    with engines.own_engine(engines.OwnPodman) as engine:
        with start(engine, number=2, **options) as running:
            assert outcomes(running) == [[1.0, None, None, 1]] * 2
        with start(engine, **options) as running:
            until(running, "prompted")
            running.kill()
        assert held(engine)
        gc(engine)
        assert held(engine) == []


def test_an_engine_that_crashes_costs_attempts_and_leaves_nothing(options: dict[str, Any]) -> None:
    """It is away for longer than attempts in a row take: they wait for it."""
    with engines.own_engine() as engine, start(engine, number=2, **options) as running:
        until(running, "prompted")
        engine.kill()
        time.sleep(5)
        engine.start()
        found = outcomes(running)
        assert running.wait(60) == 0
        assert [reward for reward, *_ in found] == [1.0, 1.0], found
        assert found[0][3] > 1, "the rollout that was running is tried again"
        assert held(engine) == [], "the job removes what the engine could not when it was asked to"


def test_a_full_disk_is_said_and_not_tried_again(options: dict[str, Any]) -> None:
    with engines.own_engine(size="32m") as engine:
        with full(engine.data), start(engine, number=1, **options) as running:
            ((reward, cause, error, attempts),) = outcomes(running)
        assert (reward, cause, attempts) == (None, "backend", 1), error
        assert f"the engine at {engine.url} has no space left on its disk" in error
        gc(engine)
        assert held(engine) == []


def test_a_disk_that_fills_up_in_the_middle_of_a_job_costs_only_what_had_not_begun(options: dict[str, Any]) -> None:
    with engines.own_engine(size="32m") as engine:
        with start(engine, number=3, pool=0, **options) as running:
            until(running, "prompted")
            with full(engine.data):
                first, *others = outcomes(running)
            assert running.wait(60) == 0
        assert first == [1.0, None, None, 1]
        for reward, cause, error, attempts in others:
            assert (reward, cause, attempts) == (None, "backend", 1), error
            assert "has no space left on its disk" in error
        gc(engine)
        assert held(engine) == []


async def test_an_image_that_vanishes_is_named(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with engines.own_engine() as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        backend = DockerBackend()
        ref = EnvRef("letters", "docker", {**options, "pool": 0})
        async with backend.open(ref) as session:
            await session.setup("count", {})
        with engine.client() as client:
            client.remove_image(engines.IMAGE, force=True)
        with pytest.raises(ImageMissingError, match=f"the image '{engines.IMAGE}' is not there any more") as caught:
            async with backend.open(ref):
                pytest.fail("there is no image")
        assert verdict_for(caught.value, "open") == (Cause.BACKEND, False)
        await backend.aclose()
        assert held(engine) == []
