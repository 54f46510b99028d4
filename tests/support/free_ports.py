"""Ports for servers that must be told where to listen."""

from __future__ import annotations

import os
import random
import socket

LOWEST, BEYOND = 12_000, 32_000
"""Below what systems give out themselves (Linux from 32768): a port of theirs, once let go, is soon somebody else's."""


def free_port() -> int:
    """Find a port of this machine that nobody uses, and that nobody is given before the server listens there.

    Processes of pytest-xdist that run side by side find different ones.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    own = range(LOWEST + int(worker), BEYOND, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    for port in random.sample(own, len(own)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"no port from {LOWEST} to {BEYOND} is free")
