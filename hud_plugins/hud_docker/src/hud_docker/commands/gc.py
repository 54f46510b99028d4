"""``hud gc``: removes what clients that are gone have left on the container engine."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from hud_docker.engine import Engine
from hud_docker.errors import EngineError
from hud_docker.liveness import LEASE, Verdict
from hud_docker.sweeping import Sweep, holdings, sweep_all

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from hud_docker.sweeping import Leftover

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0, or 1 when something could not be removed.

    Raises:
        EngineError: The engine cannot be reached, or does not say what there is.
    """
    swept, sizes = anyio.run(_collect, arguments.dry_run)
    if arguments.json:
        _emit(json.dumps(_data(swept, sizes, is_dry=arguments.dry_run), indent=2))
    else:
        _emit("\n".join(_text(swept, sizes, is_dry=arguments.dry_run)))
    return 1 if swept.failed else 0


async def _collect(is_dry: bool) -> tuple[Sweep, dict[str, int]]:  # noqa: FBT001  anyio.run passes by position
    engine = await Engine.connect()
    try:
        held = await holdings(engine)
        dead = tuple(held.left_by(Verdict.DEAD))
        sizes = await _sizes(engine) if dead else {}
        if not is_dry:
            return await sweep_all(engine), sizes
        asked = {it.owner: it.reason for it in held.left_by(Verdict.SILENT, Verdict.ASKED)}
        return Sweep(removed=dead, waiting=tuple(sorted(asked.items()))), sizes
    finally:
        await engine.aclose()


async def _sizes(engine: Engine) -> dict[str, int]:
    """Ask how many bytes go with each container, volume and image; slow where there are many.

    Nothing where the engine cannot tell, as Podman while something is being removed.
    """
    try:
        used = await engine.read(engine.client.df)
    except EngineError:
        return {}
    sizes = {it["Name"]: max((it.get("UsageData") or {}).get("Size", 0), 0) for it in used["Volumes"] or ()}
    for image in used["Images"] or ():
        own = max(image["Size"] - max(image.get("SharedSize", 0), 0), 0)
        sizes |= dict.fromkeys(image["RepoTags"] or (), own)
    for container in used["Containers"] or ():
        with_it = [it["Name"] for it in container.get("Mounts") or () if _ANONYMOUS.fullmatch(it.get("Name") or "")]
        sizes[container["Id"]] = (container.get("SizeRw") or 0) + sum(sizes.get(name, 0) for name in with_it)
    return sizes


# --- printing ---------------------------------------------------------------------------------------------------------


def _data(swept: Sweep, sizes: dict[str, int], *, is_dry: bool) -> dict[str, Any]:
    def record(it: Leftover) -> dict[str, Any]:
        return {**attrs.asdict(it), "size": sizes.get(it.id)}

    return {
        "dry_run": is_dry,
        "removed": [record(it) for it in swept.removed],
        "failed": [record(it) for it in swept.failed],
        "waiting": [{"owner": owner, "reason": reason} for owner, reason in swept.waiting],
        "freed": sum(sizes.get(it.id, 0) for it in swept.removed) if sizes or not swept.removed else None,
    }


def _text(swept: Sweep, sizes: dict[str, int], *, is_dry: bool) -> Iterator[str]:
    things = [it for it in swept.removed if it.sort != "heartbeat"]  # those are how we know, not what was left
    if things:
        rows = [(it.sort, it.name, it.kind, it.reason, _bytes(sizes[it.id]) if it.id in sizes else "") for it in things]
        yield from _table(["what", "name", "for", "why", "space"], rows)
        yield ""
    freed = f": {_bytes(sum(sizes.get(it.id, 0) for it in things))}" if things and sizes else ""
    yield f"{_counted(things)} {'would be removed' if is_dry else 'removed'}{freed}"
    for it in swept.failed:
        yield f"could not remove {it.sort} {it.name}: {it.problem}"
    for owner, reason in swept.waiting:
        yield f"kept what {owner} owns: {reason}; if it stays silent, `hud gc` removes that in {LEASE:.0f} s"


def _counted(things: Sequence[Leftover]) -> str:
    counts = Counter(it.sort for it in things)
    return ", ".join(f"{number} {sort}{'s' if number > 1 else ''}" for sort, number in counts.items()) or "nothing"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004  as the docker command counts
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _emit(text: str) -> None:
    sys.stdout.write(f"{text}\n")
