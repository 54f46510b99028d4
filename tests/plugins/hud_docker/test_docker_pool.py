"""Containers that are started ahead of need. Most run a server that starts in no time, so that many can be."""

from __future__ import annotations

import time

import anyio
import pytest

from hud_core import Agent, Task, run
from hud_core.errors import Cause
from hud_core.job.control import JobControl
from hud_core.job.limits import Retries
from hud_core.model.task import EnvRef
from hud_core.testing import MemorySink
from hud_docker import pool
from hud_docker.pool import Log

pytestmark = pytest.mark.slow
PATIENCE = 120.0
TINY = """
import json, os, sys

# Says where it runs; "wait" waits for as long as it is told. As an environment of 2025-11-25.
print("up", os.uname().nodename, file=sys.stderr, flush=True)
ME = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "tiny", "version": "1"}}
ABLE = {"tools": {}, "prompts": {}, "resources": {}}
TEXT = {"type": "text", "text": "Where?"}


def answer(method, params):
    if method == "initialize":
        return {**ME, "capabilities": ABLE}
    if method == "prompts/list":
        return {"prompts": [{"name": "tiny:where"}]}
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": TEXT}]}
    if method == "tools/list":
        return {"tools": [{"name": "name", "inputSchema": {"type": "object"}}]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": os.uname().nodename}]}
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": json.dumps({"reward": 1.0})}]}


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    found = answer(message["method"], message.get("params"))
    outcome = {"error": {"code": -32601, "message": "unknown"}} if found is None else {"result": found}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}), flush=True)
"""
DOCKERFILE = "FROM {base}\nLABEL hud-test=image\nCOPY tiny.py /\nCMD {command}"


@pytest.fixture(scope="session")
def tiny(image, base_image):
    """Builds the tiny server, with a command of its own."""

    def build(command='["python", "-IS", "/tiny.py"]'):
        return image("pool", {"tiny.py": TINY, "Dockerfile": DOCKERFILE.format(base=base_image, command=command)})

    return build


class Nosy(Agent):
    """Asks where it is, and stays for a while."""

    name = "nosy"

    def __init__(self, stay=0.0, begun=lambda: None):
        self.stay, self.begun, self.seen = stay, begun, []

    async def run(self, prompt, toolbox, *, max_steps):
        name = (await toolbox.call_tool("name")).text
        self.seen.append(name)
        await self.begun()
        await anyio.sleep(self.stay)
        return name


async def nothing():
    """Do nothing."""


def tasks(image, count, **options):
    ref = EnvRef("tiny", "docker", {"image": image, **options})
    return [Task(env=ref, scenario="where", args={}, slug=f"t{number}") for number in range(count)]


def created(docker, image, since):
    """Count the containers of an image that were created since then."""
    identity = docker.inspect_image(image)["Id"]
    said = docker.events(
        since=since, until=time.time() + 1, decode=True, filters={"type": "container", "event": "create"}
    )
    return sum(event["Actor"]["Attributes"]["image"] == identity for event in said)


def here(docker, image):
    return docker.containers(all=True, filters={"ancestor": image})


async def test_each_rollout_has_a_container_of_its_own_and_none_is_made_for_nobody(docker, tiny):
    image, agent, sink, began = tiny(), Nosy(0.3, nothing), MemorySink(), time.time()
    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 12), agent, max_concurrent=3, save=False, sinks=[sink])
    assert [rollout.reward for rollout in job.rollouts] == [1.0] * 12, [rollout.error for rollout in job.rollouts]
    assert len(set(agent.seen)) == 12
    assert created(docker, image, began) == 12
    assert here(docker, image) == []
    lines = {event.rollout: event.text for event in sink.of_type("log_line") if event.text.startswith("up ")}
    answers = {rollout.id: f"up {rollout.answer.text}" for rollout in job.rollouts}
    assert lines == answers  # what a container wrote before a rollout had it is that rollout's


async def test_containers_that_die_while_they_wait_are_replaced_and_cost_nothing(docker, tiny):
    image, killed = tiny(), []

    async def kill_the_waiting():
        if len(killed) < 3:
            running = {container["Id"][:12] for container in here(docker, image) if container["State"] == "running"}
            for identity in sorted(running - set(agent.seen))[:1]:
                docker.kill(identity)
                killed.append(identity)

    agent = Nosy(0.5, kill_the_waiting)
    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 8, pool=2), agent, max_concurrent=1, save=False)
    assert killed
    assert [(rollout.reward, rollout.attempts) for rollout in job.rollouts] == [(1.0, ())] * 8
    assert not set(killed) & set(agent.seen)
    assert here(docker, image) == []


async def test_an_image_that_cannot_start_fails_each_rollout_and_nothing_is_started_ahead(docker, tiny):
    image, began = tiny('["python", "-c", "raise SystemExit(3)"]'), time.time()
    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 4), Nosy(), max_concurrent=2, save=False, retries=Retries(attempts=2, delay=0.05))
    assert {rollout.cause for rollout in job.rollouts} == {Cause.BACKEND}
    assert "exited with code 3" in job.rollouts[0].error
    assert created(docker, image, began) == sum(len(rollout.attempts) + 1 for rollout in job.rollouts)
    assert here(docker, image) == []


async def test_a_job_that_is_stopped_leaves_no_container(docker, tiny):
    image, control = tiny(), JobControl()

    async def stop_soon():
        if len(agent.seen) == 4:
            control.stop()

    agent = Nosy(0.3, stop_soon)
    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 30), agent, max_concurrent=3, save=False, control=control)
    assert job.stopped
    assert here(docker, image) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("size", [0, 3])
async def test_the_pool_is_as_large_as_it_is_told_to_be(docker, tiny, size):
    image, most = tiny(), []

    async def count():
        with anyio.move_on_after(PATIENCE / 4 if size else 1):
            while not most or most[-1] < 1 + size or not size:
                most.append(len(here(docker, image)))
                await anyio.sleep(0.1)

    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 1 + size, pool=size), Nosy(0, count), max_concurrent=1, save=False)
    assert {rollout.reward for rollout in job.rollouts} == {1.0}
    assert max(most) == 1 + size
    assert here(docker, image) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_fifty_rollouts_eight_at_a_time_are_all_scored(docker, image):
    served = image("contract", {"env.py": "from hud_core.testing.environments import contract as env\n"})
    ref = EnvRef("contract", "docker", {"image": served})
    rows = [Task(env=ref, scenario="letters", args={"word": "r" * number}) for number in range(50)]

    class Counting(Agent):
        async def run(self, prompt, toolbox, *, max_steps):
            return str(prompt.text.count("r'") and prompt.text.rpartition("'")[0].rpartition("'")[2].count("r"))

    with anyio.fail_after(PATIENCE * 4):
        job = await run(rows, Counting(), max_concurrent=8, save=False)
    assert [rollout.error for rollout in job.rollouts if rollout.reward is None] == []
    assert {rollout.reward for rollout in job.rollouts} == {1.0}
    assert here(docker, served) == []


async def test_containers_that_grow_old_are_replaced_and_cost_nothing(docker, tiny, monkeypatch):
    monkeypatch.setattr(pool, "MAX_AGE", 0.4)
    image, began, seen = tiny(), time.time(), set()

    async def until_one_is_replaced():
        while len(seen) <= 3:  # the first rollout's, and two that wait
            seen.update(container["Id"] for container in here(docker, image))
            await anyio.sleep(0.05)

    agent = Nosy(0.7, until_one_is_replaced)
    with anyio.fail_after(PATIENCE):
        job = await run(tasks(image, 5, pool=2), agent, max_concurrent=1, save=False)
    assert [(rollout.reward, rollout.attempts) for rollout in job.rollouts] == [(1.0, ())] * 5
    assert created(docker, image, began) > 5
    assert here(docker, image) == []


def test_lines_of_a_container_that_nobody_has_are_kept_in_number(monkeypatch):
    log = Log("it")
    for number in range(2000):
        log(str(number))
    assert len(log._kept) == 1000
