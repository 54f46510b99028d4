"""A client that owns things on the engine, in a process of its own: says ``up`` and keeps them until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from hud_docker.engine import Engine
from hud_docker.ownership import Owner

FILE = str(Path(__file__))
IMAGE = "python:3.11-slim"
IGNORES_SIGTERM = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]


async def main() -> None:
    """Own one of each sort, and a container with an anonymous volume; beat as often as the first argument says."""
    owner = Owner(id=sys.argv[2]) if sys.argv[2:] else Owner()
    engine = await Engine.connect()
    client = engine.client
    await owner.begin(engine)
    container = await engine.call(
        client.create_container, IMAGE, IGNORES_SIGTERM, labels=owner.labels("rollout"), volumes=["/data"],
        host_config=client.create_host_config(network_mode="none"),
    )  # fmt: skip
    await engine.call(client.start, container["Id"])
    await engine.call(client.create_network, f"hud-test-{owner.id}", labels=owner.labels("job"))
    await engine.call(client.create_volume, f"hud-test-{owner.id}", labels=owner.labels("cache"))
    await engine.call(client.tag, IMAGE, "hud-temporary", owner.id)
    sys.stdout.write(f"{owner.id}\n")
    sys.stdout.flush()
    while True:
        await anyio.sleep(float(sys.argv[1]))
        await owner.begin(engine)


if __name__ == "__main__":
    anyio.run(main)
