"""A child in the making: what every child needs alike, made once in the fork server.

Memory that a process writes to after a fork is copied, page by page, and that is most of what a child costs. A child
that finds its event loop ready writes to half as much.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
from typing import TYPE_CHECKING

from hud_local.process.child import Child

if TYPE_CHECKING:
    from collections.abc import Sequence

FDS = 3
"""File descriptors of a child: the harness's socket, the agent's socket, the file for its output."""


def new_loop() -> asyncio.SelectorEventLoop:
    """Make an event loop that outlives a fork: what `poll` watches is no state that processes would share."""
    return asyncio.SelectorEventLoop(selectors.PollSelector())


class Template:
    """A child, made before the fork, whose file descriptors are filled in for each fork and emptied after it."""

    def __init__(self) -> None:
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._slots = [os.dup(self._nothing) for _ in range(FDS)]
        harness, tools, self.output = self._slots
        loop = new_loop()
        self._slots += [loop._ssock.fileno(), loop._csock.fileno()]  # type: ignore[attr-defined]  # noqa: SLF001
        self.child = Child(loop, harness, tools)

    def fill(self, fds: Sequence[int]) -> None:
        """Put a child's file descriptors in, and a socket pair by which its threads wake its loop.

        Raises:
            OSError: There are too many open files.
        """
        if len(fds) < FDS:  # the system drops those that it cannot hand over
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        wake, waker = socket.socketpair()
        with wake, waker:
            wake.setblocking(False)  # noqa: FBT003  the name says it
            waker.setblocking(False)  # noqa: FBT003
            self._put(*fds, wake.fileno(), waker.fileno())

    def empty(self) -> None:
        """Let go of a child's file descriptors."""
        self._put(*[self._nothing] * len(self._slots))

    def _put(self, *fds: int) -> None:
        for fd, slot in zip(fds, self._slots, strict=True):
            os.dup2(fd, slot, inheritable=False)
