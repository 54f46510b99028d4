"""The variables of a container: those of a ``.env`` file, then what is said, templates replaced last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError
from hud_core.settings import is_secret, read_env_file
from hud_core.templates import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_docker.options import ContainerOptions

LOCK = "hud.lock.yaml"
_MARKS = ("Dockerfile.hud", "Dockerfile", "pyproject.toml")
_SHORT, _LONG = 4, 16
"""Characters from which on a value is hidden: of a variable that is called a secret, and of any other."""


def variables(options: ContainerOptions) -> dict[str, str]:
    """Give a container's variables, each as it is to be in the container.

    Raises:
        ConfigError: A template names a variable that is not set, or there is no such file.
    """
    found = _of_file(options.env_file)
    found.update({name: expand(value, f"the container's variable {name}") for name, value in options.env.items()})
    return found


def _of_file(file: str | bool) -> dict[str, str]:  # noqa: FBT001  the option's value
    if file is False:
        return {}
    if file is True:
        folder = environment_folder(Path.cwd())
        return {} if folder is None else read_env_file(folder / ".env")
    if not Path(file).is_file():
        msg = f"env_file names {file!r}, and there is no such file"
        raise ConfigError(msg)
    return read_env_file(Path(file))


def environment_folder(here: Path) -> Path | None:
    """Find the folder of the environment that somebody works on: by its lock file, here or above, or by its code."""
    for folder in (here, here.parent):
        if (folder / LOCK).is_file():
            return folder
    return here if any((here / mark).is_file() for mark in _MARKS) else None


class Redactor:
    """Hides the values of a container's variables in what it writes, and in what is said about it.

    Args:
        env: The variables. Those whose name says that they are no secret are hidden, too, where they are long: only
            whoever set them knows.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        # Lines are what is written: each of a value's is hidden. The longest first: one may be part of another.
        pieces = ((name, piece) for name, value in env.items() for piece in {value, *value.splitlines()})
        self._hidden = sorted(
            (piece for name, piece in pieces if len(piece) >= (_SHORT if is_secret(name) else _LONG)),
            key=len, reverse=True,
        )  # fmt: skip

    def __call__(self, text: str) -> str:
        """Give text without them."""
        for value in self._hidden:
            text = text.replace(value, "***")
        return text
