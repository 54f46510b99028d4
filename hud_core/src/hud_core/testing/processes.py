"""The processes that a test left behind, as far as the system shows them (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process; its start tells it from a later one with the same id."""

    pid: int
    started: int
    command: str


def descendants() -> set[Process]:
    """Give the children of this process and theirs; none on systems without ``/proc``."""
    children: dict[int, list[Process]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text("utf-8", errors="replace")
        except OSError:
            continue  # ended meanwhile
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        process = Process(int(stat.parent.name), int(fields[19]), name)
        children.setdefault(int(fields[1]), []).append(process)
    return set(_below(os.getpid(), children))


def _below(pid: int, children: dict[int, list[Process]]) -> list[Process]:
    direct = children.get(pid, [])
    return [*direct, *(process for child in direct for process in _below(child.pid, children))]


def is_running(process: Process) -> bool:
    """Whether the process is still there, if only as a zombie."""
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return int(text.rpartition(")")[2].split()[19]) == process.started
