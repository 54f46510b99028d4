"""Builds the image of a folder, and brings what is saved there into it and into the containers that run."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError
from hud_core.model.task import EnvRef
from hud_docker.building.buildkit import find_builder
from hud_docker.building.classic import ClassicBuilder
from hud_docker.building.context import LOCK_NAME, Context, find_dockerfile
from hud_docker.building.dockerfile import Dockerfile
from hud_docker.building.names import base_name
from hud_docker.building.request import BuildError, BuildRequest
from hud_docker.debugging.fixes import explain
from hud_docker.developing.inside import Inside, packed
from hud_docker.developing.recipe import are_copied_together, feeds_a_step, is_used
from hud_docker.engine import Engine
from hud_docker.errors import EngineError
from hud_docker.options import read_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LABEL = "org.hud.dev"
_RECIPES = (
    "Dockerfile",
    "pyproject.toml",
    "requirements",
    "uv.lock",
    "poetry.lock",
    "package.json",
    "package-lock.json",
    ".dockerignore",
)
"""How files begin that say what is installed: after a change of those, the image is built from the Dockerfile again."""


class Workshop:
    """Keeps one image, and the containers made from it, in step with a folder.

    Source files are copied, not mounted: a save reaches the container wherever the engine is, whoever runs in there,
    and however the editor saves; and nothing that runs in there can change the folder.

    Args:
        folder: Has the Dockerfile.
        module: What ``hud dev`` in the container is to serve; None leaves it to the image.
        docker_args: Arguments of ``docker run`` for the containers. What they mount is not copied.
        say: Takes what is worth showing: the lines of a build.

    Raises:
        ConfigError: There is no Dockerfile, or an argument of ``docker run`` cannot be right.
    """

    def __init__(
        self, folder: Path, *, module: str | None, docker_args: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self._folder = folder.resolve()
        self._module = module
        self._docker_args = list(docker_args)
        self._say = say
        self._tag = f"{base_name(self._folder)}:dev"
        given = {"image": self._tag, "docker_args": self._docker_args}
        mounts = read_options(EnvRef(self._folder.name, "docker", given)).mounts
        self._mounts = [PurePosixPath(mount.split(":")[1]) for mount in mounts]
        self._marker = secrets.token_hex(8)
        self._engine: Engine | None = None
        self._inside: Inside | None = None
        self._built = ""
        """The image that came from the Dockerfile, by its id."""
        self._layer = ""
        """The image with what was saved since on top of it; empty while there is none."""
        self._options: dict[str, Any] = {}
        """How containers are opened at present. A backend looks up a tag only once: a later image comes by its id."""
        self._saved: set[str] = set()
        """Files that were saved since, which a further layer has."""
        self._known = self._states()
        """The files of the build context, as they were brought in last."""

    @property
    def files(self) -> Iterable[Path]:
        """The files of the build context, and the folder, for files that are new."""
        return [self._folder, *(self._folder / path for path in self._states())]

    def _states(self) -> dict[str, tuple[int, ...]]:
        """Give the files of the build context, each with what is another when it is saved."""
        found = [one for one in self._context().entries() if not one.is_directory and one.path != LOCK_NAME]
        return {one.path: (one.status.st_mtime_ns, one.status.st_size, one.status.st_mode) for one in found}

    def _context(self) -> Context:
        dockerfile = find_dockerfile(self._folder)
        if dockerfile is None:
            msg = f"no Dockerfile in {self._folder}; `hud build` writes one"
            raise ConfigError(msg)
        return Context(self._folder, dockerfile)

    def _dockerfile(self) -> Dockerfile:
        return Dockerfile.read(self._folder / self._context().dockerfile)

    # --- building -----------------------------------------------------------------------------------------------------

    async def build(self) -> EnvRef:
        """Build the image, and say how to open a container of it.

        Raises:
            BuildError: It cannot be built; the message has the line and the output.
            EngineError: No engine answers, or it refuses.
        """
        self._inside = None  # until it is built, what was saved is not in it
        engine = self._engine = self._engine or await Engine.connect()
        context, states = self._context(), self._states()
        self._say(f"building {self._tag} from {context.dockerfile}")
        request = BuildRequest(directory=self._folder, dockerfile=context.dockerfile, tag=self._tag)
        try:
            await (await find_builder(engine)).build(request, self._say)
        except BuildError as error:
            explain(error)
            raise
        self._known, self._saved, self._layer = states, set(), ""
        image = await engine.read(engine.client.inspect_image, self._tag)
        self._built = image["Id"]
        self._inside = Inside(engine, image["Config"], f"{LABEL}={self._marker}")
        return self._begin(self._inside)

    def concerned(self, files: set[Path]) -> set[Path]:
        """Give those of the files that the image is, or was, built from."""
        known, dockerfile = self._known.keys() | self._states().keys(), self._dockerfile()
        return {file for file in files if (path := self._relative(file)) in known and _is_needed(dockerfile, path)}

    async def follow(self, files: set[Path]) -> EnvRef | None:
        """Bring files that were saved into the containers, and into the image for those to come.

        What else has changed since the last time comes along, watched or not: code and what it reads belong together.

        Returns:
            How to open what is to take the place of the containers that run; None where they have all that changed.

        Raises:
            BuildError: The image cannot be built again.
            EngineError: The engine refuses.
        """
        inside, states = self._inside, self._states()
        if inside is None:
            return await self.build()
        changed = {self._relative(file) for file in files} | set(self._others(states))
        changed = {path for path in changed if not self._is_mounted(inside, path)}
        if changed and not await self._is_plain(inside, changed):
            return await self.build()
        reloads = await inside.reloads_itself()
        if changed:
            await self._bring(inside, changed, into_containers=reloads)
        self._known = states
        return None if reloads else self._begin(inside)

    def _others(self, states: dict[str, tuple[int, ...]]) -> Iterator[str]:
        """Give what differs from what was brought in, but for what tools leave in hidden folders and caches."""
        dockerfile = self._dockerfile()
        for path in self._known.keys() | states.keys():
            hidden = any(part.startswith(".") or part == "__pycache__" for part in PurePosixPath(path).parts)
            if states.get(path) != self._known.get(path) and not hidden and _is_needed(dockerfile, path):
                yield path

    def _is_mounted(self, inside: Inside, path: str) -> bool:
        place = PurePosixPath(inside.workdir or "/", path)
        return not _is_recipe(path) and any(place.is_relative_to(mount) for mount in self._mounts)

    async def _bring(self, inside: Inside, changed: set[str], *, into_containers: bool) -> None:
        if into_containers:
            await inside.put(self._folder, changed)
        self._saved |= changed
        await self._add_layer(inside)
        self._options["image"] = self._layer

    async def _is_plain(self, inside: Inside, changed: set[str]) -> bool:
        """Whether files are sources that the image has as they are: nothing is made of them when it is built."""
        dockerfile = self._dockerfile()
        if any(_is_recipe(path) or feeds_a_step(dockerfile, path) for path in changed):
            return False
        if any(not (self._folder / path).is_file() for path in changed):
            return False
        places = {self._neighbour(dockerfile, path) for path in changed}
        return None not in places and await inside.has({path for path in places if path is not None})

    def _neighbour(self, dockerfile: Dockerfile, path: str) -> str | None:
        """Give the file that shows where a file belongs: itself, or for a new one another that is copied with it."""
        if path in self._known:
            return path
        folder = PurePosixPath(path).parent
        others = (other for other in self._known if PurePosixPath(other).parent == folder)
        return next((other for other in others if are_copied_together(dockerfile, path, other)), None)

    async def _add_layer(self, inside: Inside) -> None:
        """Put what was saved since the build on top of it: containers to come begin with that."""
        with tempfile.TemporaryDirectory(prefix="hud-dev-") as temporary:
            folder = Path(temporary)
            (folder / "saved.tar").write_bytes(packed(self._folder, self._saved))
            (folder / "Dockerfile").write_text(f"FROM {self._built}\nADD saved.tar {inside.workdir}/\n", "utf-8")
            request = BuildRequest(directory=folder, dockerfile="Dockerfile", tag=self._tag)
            # Only this one knows images by their ids.
            await ClassicBuilder(inside.engine).build(request, lambda _: None)
        await self._forget(inside.engine)

    async def _forget(self, engine: Engine) -> None:
        """Remove the layer before this one, which has no name any more, unless a container still needs it."""
        image: dict[str, Any] = await engine.read(engine.client.inspect_image, self._tag)
        before, self._layer = self._layer, image["Id"]
        if before not in ("", self._layer):
            with contextlib.suppress(EngineError):
                await engine.call(engine.client.remove_image, before, noprune=True)

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix() if file.is_relative_to(self._folder) else ""

    def _begin(self, inside: Inside) -> EnvRef:
        variables = self._folder / ".env"
        self._options = {
            "image": self._tag,
            "pull": "never",
            "pool": 0,
            "labels": {LABEL: self._marker},
            "env_file": str(variables) if variables.is_file() else None,
            "command": inside.command_for(self._module),
            "docker_args": self._docker_args,
        }
        return EnvRef(self._folder.name, "docker", self._options)


def _is_recipe(path: str) -> bool:
    return PurePosixPath(path).name.startswith(_RECIPES)


def _is_needed(dockerfile: Dockerfile, path: str) -> bool:
    return _is_recipe(path) or is_used(dockerfile, path)
