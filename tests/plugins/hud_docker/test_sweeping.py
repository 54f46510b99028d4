"""What dead owners left is removed, and nothing else: real clients, killed, on a real engine."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import owning
import pytest
from docker import APIClient

import hud_docker.sweeping
from hud_docker import liveness
from hud_docker.engine import Engine
from hud_docker.liveness import Judgement, Place, Signs, Verdict
from hud_docker.ownership import KIND, OWNER, Owner
from hud_docker.sweeping import Sweep, leave, sweep

LEFT = ["container", "heartbeat", "image", "network", "volume"]


@contextmanager
def client(beat: float = 60.0, *identity: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a client that owns one of each; give its owner's id, and the process."""
    with subprocess.Popen(
        [sys.executable, owning.FILE, str(beat), *identity], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            owner = process.stdout.readline().strip()
            assert owner, "the client failed; its traceback is above"
            yield owner, process
        finally:
            process.kill()


def held_by(docker: APIClient, owner: str) -> list[str]:
    """Say of what sorts an owner holds something, seen from outside."""
    mine = {"label": f"{OWNER}={owner}"}
    volumes = docker.volumes(filters=mine)["Volumes"] or []
    found = ["heartbeat" if it["Labels"][KIND] == "heartbeat" else "volume" for it in volumes]
    found += ["container" for _ in docker.containers(all=True, filters=mine)]
    found += ["network" for _ in docker.networks(filters=mine)]
    found += ["image" for _ in docker.images(f"hud-temporary:{owner}")]
    return sorted(found)


def of(owner: str, swept: Sweep) -> list[str]:
    """Say of what sorts a sweep removed something of an owner; others may sweep, or be swept, at the same time."""
    return sorted(it.sort for it in swept.removed if it.owner == owner)


async def test_what_a_killed_client_left_goes_and_what_a_live_one_owns_stays(engine: Engine, docker: APIClient) -> None:
    with client() as (living, _), client() as (dying, process):
        (container,) = docker.containers(filters={"label": f"{OWNER}={dying}"})
        anonymous = [it["Name"] for it in docker.inspect_container(container["Id"])["Mounts"]]
        assert of(living, await sweep(engine)) == of(dying, await sweep(engine)) == []
        process.kill()
        process.wait()
        swept = await sweep(engine)
        assert of(dying, swept) == LEFT
        assert held_by(docker, dying) == []
        assert {it.reason for it in swept.removed if it.owner == dying} == {f"process {process.pid} has ended"}
        assert not {it["Name"] for it in docker.volumes()["Volumes"] or []} & {*anonymous}
        assert len(anonymous) == 1
        assert held_by(docker, living) == LEFT


async def test_an_owner_that_has_ended_leaves_nothing(engine: Engine, docker: APIClient) -> None:
    owner = Owner()
    await owner.begin(engine)
    await owner.begin(engine)
    assert held_by(docker, owner.id) == ["heartbeat"], "each heartbeat replaces the one before"
    await leave(engine, owner)
    assert held_by(docker, owner.id) == []


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_elsewhere_only_whoever_stays_silent_is_dead(
    engine: Engine, docker: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clients on another machine, or in a container that shares the engine: no process can be seen."""
    elsewhere = [f"{'e' * 16}-{number}-1-{secrets.token_hex(6)}" for number in (1, 2)]
    with client(0.5, elsewhere[0]) as (living, _), client(0.5, elsewhere[1]) as (dying, process):
        monkeypatch.setattr(hud_docker.sweeping, "judge", _impatient({living, dying}, monkeypatch))
        process.kill()
        process.wait()
        await anyio.sleep(5.2)
        first = await sweep(engine)
        assert of(dying, first) == []
        assert dying in dict(first.waiting)
        assert living not in dict(first.waiting)
        await anyio.sleep(5.2)
        second = await sweep(engine)
        assert of(dying, second) == sorted([*LEFT, "heartbeat"]), "its own, and the question that it did not answer"
        assert held_by(docker, dying) == []
        assert held_by(docker, living) == LEFT


def _impatient(owners: set[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    """Judge these owners after a short silence; whoever else uses this engine is not to be judged so."""
    monkeypatch.setattr(liveness, "LEASE", 4.0)

    def judged(owner: str, signs: Signs, **rest: Any) -> Judgement:
        if owner not in owners:
            return Judgement(Verdict.ALIVE, "none of this test's")
        return liveness.judge(owner, signs, **rest)

    return judged


async def test_a_client_whose_heartbeats_somebody_pruned_is_asked(
    engine: Engine, docker: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker volume prune` of older engines takes every volume that no container uses."""
    monkeypatch.setattr(hud_docker.sweeping, "place_here", lambda: Place("0" * 16))
    with client() as (living, _):
        for volume in docker.volumes(filters={"label": f"{OWNER}={living}"})["Volumes"]:
            docker.remove_volume(volume["Name"])
        swept = await hud_docker.sweeping.sweep_all(engine)
        assert dict(swept.waiting)[living] == "no heartbeat"
        again = await hud_docker.sweeping.sweep_all(engine)
        assert dict(again.waiting)[living].startswith("no heartbeat; asked ")
        assert "container" in held_by(docker, living)


async def test_two_sweeps_at_once_do_not_mind_each_other(engine: Engine, docker: APIClient) -> None:
    with client() as (dying, process):
        process.kill()
        process.wait()
        found: list[Sweep] = []

        async def one() -> None:
            found.append(await hud_docker.sweeping.sweep_all(engine))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        assert not [it for swept in found for it in swept.failed if it.owner == dying]
        assert held_by(docker, dying) == []


def test_gc_says_what_goes_and_why_then_removes_it(docker: APIClient) -> None:
    with client() as (dying, process):
        process.kill()
        process.wait()
        would = json.loads(_gc("--dry-run", "--json"))
        assert held_by(docker, dying) == LEFT
        (container,) = [it for it in would["removed"] if it["owner"] == dying and it["sort"] == "container"]
        assert container["reason"] == f"process {process.pid} has ended"
        assert container["kind"] == "rollout"
        lines = _gc().splitlines()
        assert any(f"process {process.pid} has ended" in line and "container" in line for line in lines)
        assert held_by(docker, dying) == []


def test_gc_names_what_it_cannot_remove_and_fails(docker: APIClient) -> None:
    with client() as (dying, process):
        network = f"hud-test-{dying}"
        config = docker.create_host_config(network_mode=network)
        stranger = docker.create_container(owning.IMAGE, ["sleep", "60"], host_config=config)
        docker.start(stranger["Id"])
        try:
            process.kill()
            process.wait()
            done = subprocess.run([*GC], capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert f"could not remove network {network}: " in done.stdout
            assert held_by(docker, dying) == ["heartbeat", "network"], "its heartbeat stays, so that it is found again"
        finally:
            docker.remove_container(stranger["Id"], force=True)
        _gc()
        assert held_by(docker, dying) == []


def test_gc_says_where_no_engine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = subprocess.run([*GC], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no engine answers at unix:///nowhere/docker.sock, which DOCKER_HOST names" in done.stderr


GC = (sys.executable, "-m", "hud", "gc")


def _gc(*options: str) -> str:
    return subprocess.check_output([*GC, *options], text=True)
