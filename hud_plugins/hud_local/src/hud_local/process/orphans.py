"""Processes that lose their parent, on Linux: ended with it, or handed to the server. Elsewhere none of it happens."""

from __future__ import annotations

import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def load_prctl() -> object:
    """Give the C function that the others take; looked up once, since a forked child should have little to do."""
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


def die_with_parent(prctl: object, parent: int, signal: int) -> None:
    """Have this process killed when its parent dies, which may be the case already."""
    if callable(prctl):
        prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def adopt_orphans(prctl: object) -> None:
    """Become the parent of every descendant whose own parent ends, daemons that left the process group among them."""
    if callable(prctl):
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Children:
    """The children of this single-threaded process, its own and adopted ones."""

    def __init__(self) -> None:
        pid = os.getpid()
        try:
            self._file = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # another system, or a kernel without the list
            self._file = -1

    def pids(self) -> set[int]:
        """List them; nothing where the system has no such list."""
        if self._file < 0:
            return set()
        return set(map(int, os.pread(self._file, 1 << 16, 0).split()))
