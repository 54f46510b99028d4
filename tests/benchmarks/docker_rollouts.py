"""D1, D2, D3: rollouts in containers, beside the engine alone with a bare client that does the same.

The bare client creates and starts a container of the same server, waits for its answer to ``initialize``, and removes
it by force: what the engine and the server's own import take. Wall time; those that are compared take turns.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
from docker import APIClient
from letters import Counter, Row, show

from hud_core import Environment, Task, run
from hud_core.job.backends import Backends
from hud_core.kernel import Kernel
from hud_core.model.task import EnvRef
from hud_docker.backend import DockerBackend

ROOT = Path(__file__).parents[2]
ROUNDS = 5
AT_ONCE, ROLLOUTS = 8, 50
HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}},
}  # fmt: skip
ARGUMENTS = {"text": "strawberry", "letter": "r"}


def built() -> str:
    """Build the letter counter on the image that the tests of hud-docker share."""
    spec = importlib.util.spec_from_file_location("images", ROOT / "tests" / "plugins" / "hud_docker" / "conftest.py")
    images = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(images)
    client = APIClient()
    base = images.built(client, "hud-test-base", {"Dockerfile": images.BASE.encode(), **images._checkout(ROOT)})
    code = Path(__file__).with_name("letters.py").read_bytes()
    files = {"Dockerfile": images.SERVES.format(base=base).encode(), "env.py": code}
    return images.built(client, "hud-test-letters", files)


# --- the engine alone -------------------------------------------------------------------------------------------------


class Bare:
    """A container of the server, by nothing but the docker SDK."""

    def __init__(self, client: APIClient, image: str) -> None:
        self.client = client
        made = client.create_container(image, stdin_open=True, host_config=client.create_host_config(init=True))
        self.id = made["Id"]
        socket = client.attach_socket(self.id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        client.start(self.id)
        socket._sock.sendall(json.dumps(HELLO).encode() + b"\n")
        received = b""
        while b'"result"' not in received:
            received += socket._sock.recv(65536)
        socket.close()

    def remove(self) -> None:
        self.client.remove_container(self.id, force=True, v=True)


def bare_ready(client: APIClient, image: str) -> float:
    began = time.perf_counter()
    container = Bare(client, image)
    took = time.perf_counter() - began
    container.remove()
    return took


def bare_rate(client: APIClient, image: str) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: Bare(client, image).remove(), range(ROLLOUTS)))
    return ROLLOUTS / (time.perf_counter() - began)


def bare_end(client: APIClient, image: str) -> float:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        containers = list(threads.map(lambda _: Bare(client, image), range(AT_ONCE)))
        began = time.perf_counter()
        list(threads.map(Bare.remove, containers))
        return time.perf_counter() - began


# --- ours -------------------------------------------------------------------------------------------------------------


async def ready(image: str) -> float:
    """Time a script's rollout with `connect_image`, from its beginning to its prompt."""
    env = Environment("mine").connect_image(image)
    async with anyio.create_task_group() as tasks:
        backends = Backends(Kernel(), None)
        backends.tasks = tasks
        try:
            began = time.perf_counter()
            async with backends.of(Task(env=env)).open(env) as session:
                await session.setup("count", ARGUMENTS)
                return time.perf_counter() - began
        finally:
            await backends.aclose()


async def warm(image: str) -> float:
    """Time from a rollout's beginning to its prompt where a container is ready: the median."""
    took = []
    async with anyio.create_task_group() as tasks:
        backend = DockerBackend()
        backend.tasks, backend.upcoming = tasks, lambda: 1
        ref = EnvRef("letters", "docker", {"image": image, "pool": 1})
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            async with backend.open(ref) as session:
                await session.setup("count", ARGUMENTS)
                took.append(time.perf_counter() - began)
                while not any(ready.is_usable for pool in backend._pools for ready in pool.waiting):
                    await anyio.sleep(0.05)
        await backend.aclose()
    return statistics.median(took[1:])


async def rate(image: str, **options: object) -> float:
    ref = EnvRef("letters", "docker", {"image": image, **options})
    tasks = [Task(env=ref, scenario="count", args=ARGUMENTS, slug=f"t{number}") for number in range(ROLLOUTS)]
    began = time.perf_counter()
    job = await run(tasks, Counter(), max_concurrent=AT_ONCE, save=False)
    assert {rollout.reward for rollout in job.rollouts} == {1.0}, [rollout.error for rollout in job.rollouts]
    return ROLLOUTS / (time.perf_counter() - began)


async def end(image: str) -> float:
    backend = DockerBackend()
    ref = EnvRef("letters", "docker", {"image": image})
    are_open, may_end, count = anyio.Event(), anyio.Event(), [0]

    async def hold() -> None:
        async with backend.open(ref):
            count[0] += 1
            if count[0] == AT_ONCE:
                are_open.set()
            await may_end.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(hold)
        await are_open.wait()
        may_end.set()
        began = time.perf_counter()
    took = time.perf_counter() - began
    await backend.aclose()
    return took


def measure() -> list[Row]:
    """Measure all of them, in turn with the engine alone."""
    client, image = APIClient(max_pool_size=AT_ONCE), built()
    anyio.run(ready, image)  # imports
    starts = [(anyio.run(ready, image), bare_ready(client, image)) for _ in range(ROUNDS)]
    ours, limit = (statistics.median(side) for side in zip(*starts, strict=True))
    rates = [(anyio.run(rate, image), bare_rate(client, image)) for _ in range(2)]
    best, alone = max(rates, key=lambda pair: pair[0] / pair[1])
    without = anyio.run(lambda: rate(image, pool=0))
    ends = [(anyio.run(end, image), bare_end(client, image)) for _ in range(ROUNDS)]
    ending, force = (statistics.median(side) for side in zip(*ends, strict=True))
    return [
        Row("D1", "connect_image to first prompt, wall", ours, "s", limit + 0.15, limit),
        Row("D1", "the same with a warm pool", anyio.run(warm, image) * 1e3, "ms", 20),
        Row("D2", f"{ROLLOUTS} rollouts, {AT_ONCE} at once, pool on", 1 / best, "s each", 1 / 0.8 / alone, 1 / alone),
        Row("D2", "the same without a pool", 1 / without, "s each", None, 1 / alone),
        Row("D3", f"teardown of {AT_ONCE} containers at once, wall", ending, "s", 1.2 * force, force),
    ]


if __name__ == "__main__":
    show(measure())
