"""What an environment's image is called: the one place that `hud build`, `hud debug`, `hud dev` and `hud push` ask."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_docker.building.lock import read_lock

if TYPE_CHECKING:
    from pathlib import Path

# A name: parts of small letters and digits, with separators between them; before the first slash may be a registry.
_NAME = re.compile(
    r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}")


def split_image(image: str, where: str = "image") -> tuple[str, str]:
    """Split ``name:tag@digest`` into its name and its tag, which is empty where there is none; the digest is dropped.

    Args:
        image: The text.
        where: What messages call it.

    Raises:
        ConfigError: It is no name of an image.
    """
    text, at, digest = image.partition("@")
    name, colon, tag = text.rpartition(":") if ":" in text.rpartition("/")[2] else (text, "", "")
    if not _NAME.fullmatch(name) or (colon and not _TAG.fullmatch(tag)) or (at and not _DIGEST.fullmatch(digest)):
        msg = f"{where} {image!r} is no name of an image; give one as my-env, my-env:1.0 or registry:5000/team/my-env"
        raise ConfigError(msg)
    return name, tag


def base_name(directory: Path) -> str:
    """Say what the image of a directory's environment is called, without a tag.

    The lock file says so; before the first build ``image`` in pyproject.toml's ``[tool.hud]``; else it is the name of
    the directory.

    Raises:
        ConfigError: The lock file or pyproject.toml cannot be read, or names what is no image.
    """
    lock = read_lock(directory)
    if lock is not None and lock.image:
        return split_image(lock.image, f"{lock.path}: image")[0]
    if configured := _configured(directory / "pyproject.toml"):
        return split_image(configured, "pyproject.toml: [tool.hud] image")[0]
    return _named_after(directory)


def latest_image(directory: Path) -> str:
    """Say which image `hud build` made last of a directory.

    Raises:
        ConfigError: As for `base_name`.
    """
    return f"{base_name(directory)}:latest"


def _configured(path: Path) -> str | None:
    try:
        image = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("hud", {}).get("image")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return str(image) if image else None


def _named_after(directory: Path) -> str:
    """Make a name of a directory's: in small letters, and a dash for what no name may hold."""
    parts = re.findall(r"[a-z0-9]+|[^a-z0-9]+", directory.resolve().name.lower())
    name = "".join(part if (part.isascii() and part.isalnum()) or part in {".", "_", "__"} else "-" for part in parts)
    return name.strip("-._") or "environment"
