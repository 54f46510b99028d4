"""Where what `hud dev` serves comes from: Python modules that are imported, or a container that is built and run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio.to_thread
from attrs import frozen

from hud_core.environment.environment import Environment
from hud_core.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from hud_core.model.task import EnvRef
    from hud_mcp.project.reload import Project


@frozen
class Reloaded:
    """What came of files that were saved."""

    environment: Environment | None
    """What is to be served from now on; None where what is served has changed by itself."""
    names: list[str]
    """What was loaded again, for people."""


class Source(ABC):
    """What is served, and how it follows its files."""

    name: str
    """What names it from any folder: what a client's configuration has after ``hud dev``."""
    watched = "the files that are imported"
    """What `files` are, for people."""
    starts_early = False
    """Whether to start it before the first client asks, since that takes its time, and may fail."""

    @property
    @abstractmethod
    def files(self) -> Iterable[Path]:
        """What to watch where nobody says what."""

    @abstractmethod
    async def load(self) -> Environment:
        """Make the environment.

        Raises:
            ConfigError: It cannot be made; the message has the place.
        """

    @abstractmethod
    async def reload(self, files: set[Path], *, is_behind: bool) -> Reloaded | None:
        """Follow files that were saved; None where nothing has changed.

        Args:
            files: What was saved; none when it is time to look.
            is_behind: Whether what was made last is not what is served.
        """


class Modules(Source):
    """Python modules, imported here."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.name = str(project.target)

    @property
    def files(self) -> set[Path]:
        """The modules' files."""
        return self._project.files

    async def load(self) -> Environment:
        """Import the environment."""
        return await anyio.to_thread.run_sync(self._project.load)

    async def reload(self, files: set[Path], *, is_behind: bool) -> Reloaded | None:
        """Import again what changed."""
        # Nobody knows which module reads a data file, or looks for modules itself: then all of them are imported again.
        everything = bool(files - self._project.files) or (is_behind and bool(files))
        found = await anyio.to_thread.run_sync(partial(self._project.reload, everything=everything))
        return None if found is None else Reloaded(*found)


class Workshop(Protocol):
    """**Protocol:** what keeps a container in step with its folder. The method `develop` of a backend makes one."""

    files: Iterable[Path]
    """What to watch where nobody says what."""

    async def build(self) -> EnvRef:
        """Build the image, and say how to open a container of it.

        Raises:
            ConfigError: It cannot be built; the message says where and why.
        """

    def concerned(self, files: set[Path]) -> set[Path]:
        """Give those of the files that the image is, or was, built from."""

    async def follow(self, files: set[Path]) -> EnvRef | None:
        """Bring files that were saved into what runs.

        Returns:
            How to open what is to take the place of the containers that run; None where they follow by themselves.
        """


class Develops(Protocol):
    """**Protocol:** a backend that can build a folder and run it while its files are edited."""

    def develop(
        self, folder: Path, *, module: str | None, docker_args: Sequence[str], say: Callable[[str], None]
    ) -> Workshop:
        """Make what does it.

        Args:
            folder: Has the Dockerfile.
            module: What to serve in there, as ``env:env``; None leaves it to the image.
            docker_args: Arguments of ``docker run`` for the containers.
            say: Takes what is worth showing: the lines of a build.
        """


class Containers(Source):
    """A container whose image is built from a folder.

    Args:
        backend: Makes the backend that does it; in the event loop, which backends may need.
        folder: The folder.
        module: What is to be served in the container; None leaves it to the image.
        docker_args: Arguments of ``docker run`` for it.
        say: Takes what is worth showing of a build.
    """

    watched = "the files that the image is built from"
    starts_early = True

    def __init__(
        self,
        backend: Callable[[], Develops],
        folder: Path,
        *,
        module: str | None,
        docker_args: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        self._begin: Callable[[], Workshop] = lambda: backend().develop(
            folder, module=module, docker_args=docker_args, say=say
        )
        self.docker_args = docker_args
        self._made: Workshop | None = None
        self._folder = folder
        self.name = str(folder)

    @property
    def _workshop(self) -> Workshop:
        self._made = self._made or self._begin()
        return self._made

    @property
    def files(self) -> Iterable[Path]:
        """The files that the image is built from."""
        return self._workshop.files

    async def load(self) -> Environment:
        """Build the image."""
        try:
            return self._around(await self._workshop.build())
        except BackendError as error:
            error.add_note("to serve the Python code here, without a container: --no-docker")
            raise

    async def reload(self, files: set[Path], *, is_behind: bool) -> Reloaded | None:
        """Bring what was saved into the containers, or build the image again."""
        files = self._workshop.concerned(files)
        if not files:
            return None
        follow: Awaitable[EnvRef | None] = self._workshop.build() if is_behind else self._workshop.follow(files)
        ref = await follow
        names = sorted(file.name for file in files)
        return Reloaded(None if ref is None else self._around(ref), names)

    def _around(self, ref: EnvRef) -> Environment:
        # Nothing of its own: tools and scenarios are those of the container, under the names that they have there.
        return Environment(self._folder.resolve().name).connect(ref)
