"""Builds the image of a folder, and brings what is saved there into it and into the containers that run."""

from __future__ import annotations

import contextlib
import secrets
import shutil
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
from hud_docker.building.request import BuildRequest
from hud_docker.developing.inside import Inside
from hud_docker.developing.recipe import feeds_a_step
from hud_docker.engine import Engine
from hud_docker.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LABEL = "org.hud.dev"
_RECIPES = (
    "Dockerfile",
    "pyproject.toml",
    "requirements",
    "uv.lock",
    "poetry.lock",
    "package.json",
    "package-lock.json",
)
"""How files begin that say what is installed: after a change of those, the image is built from the Dockerfile again."""


class Workshop:
    """Keeps one image, and the containers made from it, in step with a folder.

    Source files are copied, not mounted: a save reaches the container wherever the engine is, whoever runs in there,
    and however the editor saves; and nothing that runs in there can change the folder.

    Args:
        folder: Has the Dockerfile.
        module: What ``hud dev`` in the container is to serve; None leaves it to the image.
        say: Takes what is worth showing: the lines of a build.

    Raises:
        ConfigError: There is no Dockerfile.
    """

    def __init__(self, folder: Path, *, module: str | None, say: Callable[[str], None]) -> None:
        self._folder = folder.resolve()
        self._module = module
        self._say = say
        self._tag = f"{base_name(self._folder)}:dev"
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
        self._known = self._paths()

    @property
    def files(self) -> Iterable[Path]:
        """The files of the build context, and the folder, for files that are new."""
        return [self._folder, *(self._folder / path for path in self._paths())]

    def _paths(self) -> set[str]:
        return {one.path for one in self._context().entries() if not one.is_directory and one.path != LOCK_NAME}

    def _context(self) -> Context:
        dockerfile = find_dockerfile(self._folder)
        if dockerfile is None:
            msg = f"no Dockerfile in {self._folder}; `hud build` writes one"
            raise ConfigError(msg)
        return Context(self._folder, dockerfile)

    # --- building -----------------------------------------------------------------------------------------------------

    async def build(self) -> EnvRef:
        """Build the image, and say how to open a container of it.

        Raises:
            BuildError: It cannot be built; the message has the line and the output.
            EngineError: No engine answers, or it refuses.
        """
        self._inside = None  # until it is built, what was saved is not in it
        engine = self._engine = self._engine or await Engine.connect()
        context = self._context()
        self._say(f"building {self._tag} from {context.dockerfile}")
        request = BuildRequest(directory=self._folder, dockerfile=context.dockerfile, tag=self._tag)
        await (await find_builder(engine)).build(request, self._say)
        self._known, self._saved, self._layer = self._paths(), set(), ""
        image = await engine.read(engine.client.inspect_image, self._tag)
        self._built = image["Id"]
        self._inside = Inside(engine, image["Config"], f"{LABEL}={self._marker}")
        return self._begin(self._inside)

    def concerned(self, files: set[Path]) -> set[Path]:
        """Give those of the files that the image is, or was, built from."""
        known = self._known | self._paths()
        return {file for file in files if self._relative(file) in known}

    async def follow(self, files: set[Path]) -> EnvRef | None:
        """Bring files that were saved into the containers, and into the image for those to come.

        Returns:
            How to open what is to take the place of the containers that run; None where they have all that changed.

        Raises:
            BuildError: The image cannot be built again.
            EngineError: The engine refuses.
        """
        inside, changed = self._inside, {self._relative(file) for file in files}
        if inside is None or not await self._is_plain(inside, changed):
            return await self.build()
        reloads = await inside.reloads_itself()
        if reloads:
            await inside.put(self._folder, changed)
        self._saved |= changed
        await self._add_layer(inside)
        if not reloads:
            return self._begin(inside)
        self._options["image"] = self._layer
        return None

    async def _is_plain(self, inside: Inside, changed: set[str]) -> bool:
        """Whether files are sources that the image has as they are: nothing is made of them when it is built."""
        if any(PurePosixPath(path).name.startswith(_RECIPES) or path not in self._known for path in changed):
            return False
        if any(not (self._folder / path).is_file() for path in changed):
            return False
        dockerfile = Dockerfile.read(self._folder / self._context().dockerfile)
        return not any(feeds_a_step(dockerfile, path) for path in changed) and await inside.has(changed)

    async def _add_layer(self, inside: Inside) -> None:
        """Put what was saved since the build on top of it: containers to come begin with that."""
        with tempfile.TemporaryDirectory(prefix="hud-dev-") as temporary:
            folder = Path(temporary)
            for path in self._saved:
                target = folder / "saved" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._folder / path, target)
            (folder / "Dockerfile").write_text(f"FROM {self._built}\nCOPY saved/ {inside.workdir}/\n", "utf-8")
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
        }
        return EnvRef(self._folder.name, "docker", self._options)
