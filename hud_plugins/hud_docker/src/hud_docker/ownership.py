"""Owners of what an engine holds for us: labels by which they are known, heartbeats that show that they live.

A heartbeat is an empty volume with labels: every client of the engine sees it, and the engine itself dates it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import TYPE_CHECKING, Any

import anyio
from attrs import field, frozen

from hud_core.errors import describe
from hud_core.log import logger
from hud_docker.errors import EngineError, MissingError
from hud_docker.liveness import LEASE, new_id

if TYPE_CHECKING:
    from hud_docker.engine import Engine

__all__ = ["KIND", "OWNER", "Owner"]

OWNER = "org.hud.owner"
"""The label that every object of ours carries: its owner's id."""
KIND = "org.hud.kind"
"""What an object is for: ``rollout``, ``pool``, ``build``, ..., and the two kinds of volumes below."""
HEARTBEAT = "heartbeat"
SUMMONS = "summons"
"""A volume by which another client asks an owner that is silent whether it lives; a heartbeat answers it."""

BEAT = LEASE / 4
"""Seconds between heartbeats."""
SOON = 5.0
"""Seconds after which a heartbeat that failed is tried again."""


@frozen(kw_only=True)
class Owner:
    """A kernel of this process, as the owner of what it creates on an engine.

    `begin` comes before anything is created, `beat` runs as long as anything is there, `sweeping.leave` comes last.
    """

    id: str = field(factory=new_id)
    host: str = field(factory=socket.gethostname)
    """For people; nothing is decided by it."""

    def labels(self, kind: str) -> dict[str, str]:
        """Give the labels of everything that this owner creates.

        Args:
            kind: What it is for, such as ``rollout``.
        """
        pid = self.id.split("-")[1]
        return {OWNER: self.id, KIND: kind, "org.hud.host": self.host, "org.hud.pid": pid}

    async def begin(self, engine: Engine) -> None:
        """Give the first heartbeat: nothing of ours may be there before.

        Raises:
            EngineError: The engine cannot keep it.
        """
        name = f"hud-beat-{self.id}-{secrets.token_hex(4)}"
        await engine.call(engine.client.create_volume, name, labels=self.labels(HEARTBEAT))
        await self._forget(engine, but=name)

    async def beat(self, engine: Engine) -> None:
        """Give heartbeats until cancelled. What goes wrong with one is logged, and it is tried again soon."""
        wait = BEAT
        while True:
            await anyio.sleep(wait)
            try:
                await self.begin(engine)
            except EngineError as error:
                if wait != SOON:  # of many in a row, the first
                    logger().warning(f"no heartbeat: {describe(error)}")
                wait = SOON
            else:
                wait = BEAT

    async def _forget(self, engine: Engine, but: str) -> None:
        filters = {"label": f"{OWNER}={self.id}"}
        found = await engine.read(engine.client.volumes, filters=filters)
        for volume in found["Volumes"] or ():
            if is_sign(volume) and volume["Name"] != but:
                await remove_sign(engine, volume["Name"])


def is_sign(volume: dict[str, Any]) -> bool:
    """Whether a volume is a heartbeat or a summons."""
    return (volume["Labels"] or {}).get(KIND) in (HEARTBEAT, SUMMONS)


async def remove_sign(engine: Engine, name: str) -> None:
    """Remove a heartbeat or a summons, unless somebody else has just done so."""
    with contextlib.suppress(MissingError):
        await engine.call(engine.client.remove_volume, name)


async def summon(engine: Engine, owner: str) -> None:
    """Ask an owner that is silent whether it lives."""
    name = f"hud-summons-{owner}-{secrets.token_hex(4)}"
    await engine.call(engine.client.create_volume, name, labels={OWNER: owner, KIND: SUMMONS})
