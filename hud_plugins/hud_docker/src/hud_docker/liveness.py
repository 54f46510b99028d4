"""Whether the owner of something on an engine still lives: by its process where that can be seen, else by heartbeats.

An owner's id says on which machine, in which pid namespace and in which process it lives. A client in the same place
looks at the process. Every other client goes by heartbeats, which the engine dates: no clock is compared with another.
`judge` is the whole decision; docs/explanation/containers-and-their-owners.md gives the reasons.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LEASE", "Judgement", "Place", "Signs", "Verdict", "judge", "new_id", "place_here"]

LEASE = 120.0
"""Seconds of silence after which an owner is asked, and then again after which it counts as dead."""

_ID = re.compile(r"(?P<place>[0-9a-f]{16}|0)-(?P<pid>[0-9]+)-(?P<start>[0-9]+)-[0-9a-f]{12}")


# --- where a process lives --------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where process ids mean the same: one boot of one kernel, one pid namespace, one time namespace."""

    id: str

    def lives(self, pid: int, start: int) -> bool | None:
        """Whether the process with this pid that started then still lives; None where that cannot be known."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's: it is there
            pass
        try:
            status = _status(str(pid))
        except OSError:  # it has just ended, or processes of others are hidden
            return None
        if status.start != start:
            return False  # the pid is somebody else's now
        return not (status.is_zombie and _threads(pid) == 1)


class _Status(NamedTuple):
    start: int
    is_zombie: bool


def place_here() -> Place | None:
    """Say where this process lives; None where that is unknown, or /proc shows other processes."""
    try:
        if Path("/proc/self").readlink() != Path(str(os.getpid())):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        spaces = [str(Path("/proc/self/ns/pid").readlink())]
    except OSError:
        return None
    try:
        spaces.append(str(Path("/proc/self/ns/time").readlink()))  # start times count from its boot
    except OSError:  # a kernel without them
        spaces.append("")
    return Place(hashlib.blake2b("|".join([boot, *spaces]).encode(), digest_size=8).hexdigest())


def _status(process: str) -> _Status:
    # The name, in parentheses, may hold anything. What follows it begins with the third field.
    fields = Path("/proc", process, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return _Status(start=int(fields[19]), is_zombie=fields[0] in "ZX")


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 1


# --- what an owner's id says ------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """What an owner's id says of it."""

    place: str
    pid: int
    start: int


def claim_of(owner: str) -> Claim | None:
    """Read an owner's id; None where it is none of ours."""
    found = _ID.fullmatch(owner)
    return Claim(found["place"], int(found["pid"]), int(found["start"])) if found else None


def new_id() -> str:
    """Make the id of an owner in this process."""
    place = place_here()
    start = _status("self").start if place else 0
    return f"{place.id if place else 0}-{os.getpid()}-{start}-{secrets.token_hex(6)}"


# --- who lives --------------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    """Whether an owner lives."""

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "silent"
    """It has to be asked."""
    ASKED = "asked"
    """It has been asked, and has time to answer."""


class Judgement(NamedTuple):
    """Whether an owner lives, and how that is known."""

    verdict: Verdict
    reason: str


@frozen(kw_only=True)
class Signs:
    """When an engine has seen an owner's heartbeats, and other clients' summons; seconds, by the engine's clock."""

    beats: tuple[float, ...] = ()
    summons: tuple[float, ...] = ()


def judge(owner: str, signs: Signs, *, now: float, here: Place | None, is_local: bool) -> Judgement:
    """Say whether an owner lives.

    Args:
        owner: Its id.
        signs: What the engine has of it.
        now: The engine's clock, read before the signs.
        here: Where this process lives.
        is_local: Whether the engine is on this machine. Only then is a process that is not here dead: copies of a
            virtual machine look like one place, and may share an engine elsewhere.
    """
    claim = claim_of(owner)
    if claim is None:
        return Judgement(Verdict.ALIVE, "its owner is not one of this version")
    if here is not None and claim.place == here.id:
        lives = here.lives(claim.pid, claim.start)
        if lives:
            return Judgement(Verdict.ALIVE, f"process {claim.pid} is running")
        if lives is False and is_local:
            return Judgement(Verdict.DEAD, f"process {claim.pid} has ended")
    return _judge_by_signs(signs, now)


def _judge_by_signs(signs: Signs, now: float) -> Judgement:
    """Judge by heartbeats alone: silence for a lease, and for another one after having been asked, is death."""
    beat = _latest(signs.beats, now)
    if beat is not None and now - beat <= LEASE:
        return Judgement(Verdict.ALIVE, f"a heartbeat {max(now - beat, 0):.0f} s ago")
    silence = "no heartbeat" if beat is None else f"no heartbeat for {now - beat:.0f} s"
    asked = [at for at in signs.summons if (beat is None or at > beat) and at - now <= LEASE]
    if not asked:
        return Judgement(Verdict.SILENT, silence)
    since = now - min(asked)
    if since <= LEASE:
        return Judgement(Verdict.ASKED, f"{silence}; asked {max(since, 0):.0f} s ago")
    return Judgement(Verdict.DEAD, f"{silence}, and no answer for {since:.0f} s")


def _latest(times: Iterable[float], now: float) -> float | None:
    """Give the latest time, but for those that a clock which was set back since has made up."""
    return max((at for at in times if at - now <= LEASE), default=None)
