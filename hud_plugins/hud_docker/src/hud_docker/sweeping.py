"""Removes what dead owners left on an engine, and nothing that a live one owns."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio
from attrs import evolve, field, frozen

from hud_core.log import logger
from hud_docker.errors import ConflictError, EngineError, MissingError
from hud_docker.liveness import Judgement, Signs, Verdict, judge, place_here
from hud_docker.ownership import KIND, OWNER, SUMMONS, is_sign, summon

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hud_docker.engine import Engine
    from hud_docker.ownership import Owner

__all__ = ["Leftover", "Sweep", "leave", "sweep"]

ROUNDS = 3
"""How often at the most: what a client had asked for when it was killed may arrive while we sweep."""
MOST_AT_ONCE = 8
"""Removals under way at the same time."""
LEAVING = 20.0
"""Seconds that an object has to go which somebody else is removing."""
IMAGES = "hud-temporary"
"""The repository of images that live no longer than the command that builds them; the tag is their owner's id."""


@frozen(kw_only=True)
class Leftover:
    """An object on the engine whose owner is dead."""

    sort: str
    """``container``, ``network``, ``image``, ``volume`` or ``heartbeat``."""
    id: str
    name: str
    kind: str
    """What it was for, as its label says."""
    owner: str
    reason: str
    """How it is known that its owner is dead."""
    problem: str | None = None
    """Why it could not be removed."""


@frozen(kw_only=True)
class Sweep:
    """What was removed, what could not be, and whose things are left for now."""

    removed: tuple[Leftover, ...] = ()
    failed: tuple[Leftover, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    """Owners that have been asked whether they live, with what is known of them."""


@frozen(kw_only=True)
class Holdings:
    """What the engine holds of ours, and what it says of each owner."""

    objects: tuple[Leftover, ...]
    """Of every owner."""
    judgements: dict[str, Judgement] = field(factory=dict)

    def left_by(self, *verdicts: Verdict) -> Iterator[Leftover]:
        """Give what owners of these verdicts have left."""
        for it in self.objects:
            judged = self.judgements[it.owner]
            if judged.verdict in verdicts:
                yield evolve(it, reason=judged.reason)


async def sweep(engine: Engine, *, but: str | None = None) -> Sweep:
    """Remove what dead owners left. What could not be removed is named in what is returned.

    With nothing to find it costs one question to the engine; with live owners alone, a few.

    Args:
        engine: Where.
        but: The owner who asks: its things stay.

    Raises:
        EngineError: The engine does not say what there is.
    """
    volumes = await _volumes(engine)
    if not any(volume["Labels"][OWNER] != but for volume in volumes):
        return Sweep()  # whoever owns anything has a heartbeat
    return await sweep_all(engine)


async def sweep_all(engine: Engine) -> Sweep:
    """Remove what dead owners left, also those whose heartbeats somebody has removed.

    Raises:
        EngineError: The engine does not say what there is.
    """
    removed: list[Leftover] = []
    failed: tuple[Leftover, ...] = ()
    held = await holdings(engine)
    for _ in range(ROUNDS):
        gone, failed = await _remove(engine, list(held.left_by(Verdict.DEAD)))
        if not gone:
            break
        removed += gone
        held = await holdings(engine)
    await _summon(engine, held)
    asked = {it.owner: it.reason for it in held.left_by(Verdict.SILENT, Verdict.ASKED)}
    return Sweep(removed=tuple(removed), failed=failed, waiting=tuple(sorted(asked.items())))


async def _summon(engine: Engine, held: Holdings) -> None:
    for owner, judged in held.judgements.items():
        if judged.verdict is Verdict.SILENT:
            await summon(engine, owner)


async def leave(engine: Engine, owner: Owner) -> None:
    """Remove what an owner that ends still has: what an engine did not remove when it was asked to, or was away then.

    Its heartbeats go last, and stay where anything else does, so that the next job finds that.

    Raises:
        EngineError: The engine does not say what there is.
    """
    mine = f"{OWNER}={owner.id}"
    held = [*await _containers(engine, mine), *await _networks(engine, mine)]
    held += [_volume(it) for it in await _volumes(engine, mine)]
    _, failed = await _remove(engine, held)
    for it in failed:
        logger().warning(f"{it.sort} {it.name} is not removed: {it.problem}; `hud gc` will do it")


# --- what there is ----------------------------------------------------------------------------------------------------


async def holdings(engine: Engine) -> Holdings:
    """Find everything of ours on the engine, and judge each owner.

    Raises:
        EngineError: The engine does not say what there is.
    """
    # The clock comes before the heartbeats: if we are suspended in between, they seem newer than they are, not older.
    now = _seconds((await engine.info())["SystemTime"])
    volumes = await _volumes(engine)
    found = [*await _containers(engine), *await _networks(engine), *await _images(engine)]
    found += [_volume(it) for it in volumes]
    here = place_here()
    judgements = {
        owner: judge(owner, _signs(owner, volumes), now=now, here=here, is_local=engine.is_local)
        for owner in {it.owner for it in found}
    }
    return Holdings(objects=tuple(found), judgements=judgements)


def _signs(owner: str, volumes: Iterable[dict[str, Any]]) -> Signs:
    times: dict[bool, list[float]] = {False: [], True: []}
    for volume in volumes:
        if volume["Labels"][OWNER] == owner and is_sign(volume):
            times[volume["Labels"][KIND] == SUMMONS].append(_seconds(volume["CreatedAt"]))
    return Signs(beats=tuple(times[False]), summons=tuple(times[True]))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def _volumes(engine: Engine, label: str = OWNER) -> list[dict[str, Any]]:
    found = await engine.read(engine.client.volumes, filters={"label": label})
    return list(found["Volumes"] or ())


def _volume(found: dict[str, Any]) -> Leftover:
    return _leftover("heartbeat" if is_sign(found) else "volume", found["Name"], found["Name"], found["Labels"])


async def _containers(engine: Engine, label: str = OWNER) -> list[Leftover]:
    found = await engine.read(engine.client.containers, all=True, filters={"label": label})
    return [_leftover("container", it["Id"], it["Names"][0].lstrip("/"), it["Labels"]) for it in found]


async def _networks(engine: Engine, label: str = OWNER) -> list[Leftover]:
    found = await engine.read(engine.client.networks, filters={"label": label})
    return [_leftover("network", it["Id"], it["Name"], it["Labels"]) for it in found]


async def _images(engine: Engine) -> list[Leftover]:
    """Find images by their name: labels are inherited by whatever is built on them."""
    tags = [tag for it in await engine.read(engine.client.images, IMAGES) for tag in it["RepoTags"] or ()]
    return [_leftover("image", tag, tag, {OWNER: tag.rpartition(":")[2], KIND: "build"}) for tag in tags]


def _leftover(sort: str, identity: str, name: str, labels: dict[str, str]) -> Leftover:
    return Leftover(sort=sort, id=identity, name=name, kind=labels.get(KIND, ""), owner=labels[OWNER], reason="")


# --- away with it -----------------------------------------------------------------------------------------------------

_ORDER = ("container", "network", "image", "volume", "heartbeat")
"""What uses something goes before it. Heartbeats go last, when all else of their owner is gone; `sweep` needs them."""


async def _remove(engine: Engine, dead: list[Leftover]) -> tuple[list[Leftover], tuple[Leftover, ...]]:
    """Remove objects, sort by sort; give those that are gone, and those that are not, with the reason."""
    done: list[Leftover] = []
    for sort in _ORDER:
        limiter = anyio.CapacityLimiter(MOST_AT_ONCE)
        async with anyio.create_task_group() as tasks:
            staying = {it.owner for it in done if it.problem} if sort == "heartbeat" else ()
            for it in dead:
                if it.sort == sort and it.owner not in staying:
                    tasks.start_soon(_remove_one, engine, it, limiter, done)
    return [it for it in done if it.problem is None], tuple(it for it in done if it.problem is not None)


async def _remove_one(engine: Engine, it: Leftover, limiter: anyio.CapacityLimiter, done: list[Leftover]) -> None:
    async with limiter:
        try:
            await _ask_to_remove(engine, it)
        except MissingError:  # somebody else was faster
            done.append(it)
        except EngineError as error:
            done.append(evolve(it, problem=str(error)))
        else:
            done.append(it)


async def _ask_to_remove(engine: Engine, it: Leftover) -> None:
    client = engine.client
    if it.sort == "container":
        try:
            await engine.call(client.remove_container, it.id, v=True, force=True)
        except ConflictError:
            await _until_gone(engine, it)
    elif it.sort == "network":
        await engine.call(client.remove_network, it.id)
    elif it.sort == "image":
        await engine.call(client.remove_image, it.id)
    else:
        await engine.call(client.remove_volume, it.id)


async def _until_gone(engine: Engine, it: Leftover) -> None:
    """Wait for a container that somebody else is removing.

    Raises:
        MissingError: It is gone.
        EngineError: It stays.
    """
    with anyio.move_on_after(LEAVING):
        while True:
            await engine.read(engine.client.inspect_container, it.id)
            await anyio.sleep(0.1)
    msg = f"it is being removed for {LEAVING:.0f} s already, and is still there"
    raise EngineError(msg)
