"""Whether a folder is one that runs in a container, and whether it does so already."""

from __future__ import annotations

import os
from pathlib import Path

from hud_mcp.wire import HARNESS_VARIABLE

DOCKERFILES = ("Dockerfile.hud", "Dockerfile")
"""What a Dockerfile is called."""
NEEDED = "what runs in a container needs hud-docker (pip install hud-docker)"
MARKS = ("/.dockerenv", "/run/.containerenv")
"""Files that the engines put into their containers: Docker, Podman."""

SOCKETS = ("/var/run/docker.sock", "/run/podman/podman.sock")
"""Where engines listen."""


def has_dockerfile(folder: Path) -> bool:
    """Whether a folder has a Dockerfile."""
    return any((folder / name).is_file() for name in DOCKERFILES)


def is_inside() -> bool:
    """Whether this process is what a container serves: images that copy a whole folder have its Dockerfile, too.

    A machine for development may be a container as well. There is an engine at hand, then.
    """
    if not any(Path(mark).exists() for mark in MARKS):
        return False
    return HARNESS_VARIABLE in os.environ or not (
        os.environ.get("DOCKER_HOST") or any(Path(socket).exists() for socket in SOCKETS)
    )
