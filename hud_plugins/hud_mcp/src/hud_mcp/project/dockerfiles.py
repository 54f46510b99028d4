"""Whether a folder is one that runs in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILES = ("Dockerfile.hud", "Dockerfile")
"""What a Dockerfile is called."""
NEEDED = "what runs in a container needs hud-docker (pip install hud-docker)"


def has_dockerfile(folder: Path) -> bool:
    """Whether a folder has a Dockerfile."""
    return any((folder / name).is_file() for name in DOCKERFILES)
