"""What an image has inside, and the containers that run it: where sources are, what serves, how files get there."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from hud_docker.errors import MissingError
from hud_docker.files import has_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hud_docker.engine import Engine

_SYNTAX = frozenset("\"'\\$`|&;<>(){}[]*?#~=!\n")
"""What a shell does not take as it is."""
_OURS = "hud "
"""How what ``hud version`` prints begins, where it is this project's: that one reloads what is saved."""


class Inside:
    """An image, and its containers of one ``hud dev``.

    Args:
        engine: The engine.
        config: The image's configuration.
        label: Finds the containers.
    """

    def __init__(self, engine: Engine, config: Mapping[str, Any], label: str) -> None:
        self.engine = engine
        self.workdir: str = (config.get("WorkingDir") or "/").rstrip("/")
        """Where sources are, without a slash at the end."""
        self._command = _words(config.get("Cmd") or ())
        self._label = label
        self._reloads: bool | None = None

    def command_for(self, module: str | None) -> list[str] | None:
        """Give the image's command with another module to serve; None where it needs no change, or has no place."""
        place = self._place_of_dev()
        if module is None or place is None:
            return None
        rest = self._command[place + 1 :]
        rest = rest if rest[:1] and rest[0].startswith("-") else rest[1:]
        return [*self._command[: place + 1], module, *rest]

    def _place_of_dev(self) -> int | None:
        """Find the word ``dev`` of ``hud dev``."""
        pairs = enumerate(zip(self._command, self._command[1:], strict=False), start=1)
        return next((place for place, pair in pairs if pair[0].endswith("hud") and pair[1] == "dev"), None)

    async def reloads_itself(self) -> bool:
        """Whether what serves in the containers is this project's ``hud dev``, which reloads what is saved."""
        place = self._place_of_dev()
        if place is None:
            return False
        if self._reloads is None and (containers := await self._containers()):
            said = await self._said_in(containers[0], [*self._command[:place], "version"])
            self._reloads = said.startswith(_OURS)
        return bool(self._reloads)

    async def _said_in(self, container: str, command: list[str]) -> str:
        client = self.engine.client
        started = await self.engine.call(client.exec_create, container, command, stderr=False)
        said: bytes = await self.engine.read(client.exec_start, started["Id"])
        return said.decode(errors="replace")

    async def has(self, paths: Collection[str]) -> bool:
        """Whether files of the folder are where sources are expected; without a container, nobody can tell."""
        containers = await self._containers()
        for path in paths if containers else ():
            if not await self.engine.read(has_path, self.engine.client, containers[0], f"{self.workdir}/{path}"):
                return False
        return bool(containers)

    async def put(self, folder: Path, paths: Collection[str]) -> None:
        """Copy files of a folder into every container."""
        data = packed(folder, paths)
        for container in await self._containers():
            try:
                await self.engine.call(self.engine.client.put_archive, container, self.workdir or "/", data)
            except MissingError:
                continue  # it has just ended

    async def _containers(self) -> list[str]:
        found = await self.engine.read(self.engine.client.containers, filters={"label": self._label})
        return [one["Id"] for one in found]


def _words(command: Sequence[str]) -> list[str]:
    """Give the words of a command; a Dockerfile's CMD without brackets is one line for a shell."""
    shell, line = list(command[:-1]), "".join(command[-1:])
    return line.split() if shell == ["/bin/sh", "-c"] and not _SYNTAX & {*line} else list(command)


def packed(folder: Path, paths: Collection[str]) -> bytes:
    """Pack files of a folder so that whoever runs in a container may read them."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", dereference=True) as archive:  # what links lead to
        for path in sorted(paths):
            content = (folder / path).read_bytes()
            info = archive.gettarinfo(folder / path, arcname=path)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode |= 0o444
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()
