"""Whether two containers of one image keep out of each other's way."""

from __future__ import annotations

import io
import secrets
import tarfile
from typing import TYPE_CHECKING, Any

from hud_core.errors import BackendError
from hud_docker.errors import EngineError
from hud_docker.files import has_path

if TYPE_CHECKING:
    from hud_docker.engine import Engine

_PLACES = ("/tmp", "/var/tmp", "/root", "/home")  # noqa: S108  folders of a container


async def check_isolation(engine: Engine, label: str) -> str:
    """See that what one of the two containers with a label writes is not in the other, and say how that was seen.

    A file is put into the first, into its working directory and where programs usually write, and looked for in the
    second. What both mount and may write to is state that they share, and so is a network namespace.

    Raises:
        BackendError: They share something.
    """
    found = await engine.read(engine.client.containers, filters={"label": label})
    first, second = [await engine.read(engine.client.inspect_container, one["Id"]) for one in found[:2]]
    _check_mounts(first, second)
    places = dict.fromkeys([first["Config"].get("WorkingDir") or "/", *_PLACES])
    written = [place for place in places if await _is_kept_apart(engine, first["Id"], second["Id"], place)]
    what = f"a file written to {', '.join(written)} of one is not in the other" if written else "nothing can be written"
    return f"containers {first['Id'][:12]} and {second['Id'][:12]}: {what}; no writable mount is shared"


def _check_mounts(first: dict[str, Any], second: dict[str, Any]) -> None:
    theirs = {mount.get("Source") or mount.get("Name") for mount in second["Mounts"] if mount.get("RW")}
    shared = [one for one in first["Mounts"] if one.get("RW") and (one.get("Source") or one.get("Name")) in theirs]
    if shared:
        mount = shared[0]
        msg = (
            f"both containers write to {mount.get('Name') or mount['Source']}, mounted at {mount['Destination']}: "
            "one rollout sees what another one left; mount it read-only (:ro), or copy what is in it into the image"
        )
        raise BackendError(msg)


async def _is_kept_apart(engine: Engine, first: str, second: str, place: str) -> bool:
    """Write a file into one container, and look for it in the other; False where nothing can be written.

    Raises:
        BackendError: It is there.
    """
    name = f".hud-debug-{secrets.token_hex(8)}"
    try:
        await engine.call(engine.client.put_archive, first, place, _archive(name))
    except EngineError:  # no such folder, or its files are read-only
        return False
    if not await engine.read(has_path, engine.client, second, f"{place.rstrip('/')}/{name}"):
        return True
    msg = f"what one container writes to {place} is seen in another one: rollouts would share state there"
    raise BackendError(msg)


def _archive(name: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return data.getvalue()
