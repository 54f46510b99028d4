"""`hud build`: from a directory to an image, and a lock file that says what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs

from hud_core.errors import BackendError
from hud_core.settings import read_env_file
from hud_docker.building.buildkit import find_builder
from hud_docker.building.context import LOCK_NAME, Context, source_hash
from hud_docker.building.dockerfile import Dockerfile
from hud_docker.building.introspection import introspect
from hud_docker.building.lock import FORMAT as LOCK_FORMAT
from hud_docker.building.lock import MOST_FILES, Lock, manifest_head, next_version, now, read_lock, short, write_lock
from hud_docker.building.names import base_name, split_image
from hud_docker.building.request import BuildError, BuildRequest
from hud_docker.debugging.fixes import explain
from hud_docker.errors import ImageMissingError
from hud_docker.options import ContainerOptions
from hud_docker.ownership import Owner
from hud_docker.sweeping import IMAGES as TEMPORARY
from hud_docker.sweeping import leave

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_docker.building.introspection import Introspection
    from hud_docker.building.request import Builder
    from hud_docker.engine import Engine

CLEAN_UP_SECONDS = 30.0
_NOTE = "Names of variables. What is moved to `optional` stays there; `hud build` finds out the others anew."


@attrs.frozen(kw_only=True)
class Wish:
    """What somebody wants built.

    Args:
        request: The image, but for its tag and its labels.
        tags: More names for it.
        env: Variables for the server while it is asked for what it offers, beside those of the directory's ``.env``.
        bump: Which part of the version is counted up.
    """

    request: BuildRequest
    tags: Sequence[str] = ()
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    bump: str = "patch"


@attrs.frozen(kw_only=True)
class Built:
    """What was built."""

    image: str
    """Its name, with the version."""
    id: str
    tags: list[str]
    """Its other names."""
    builder: str
    lock: Lock


@attrs.frozen(kw_only=True)
class Talk:
    """Who is told what. `output` and `detail` may be called from another thread.

    Args:
        say: Is told what is being done, and what is worth a warning.
        output: Is given each line of the builder.
        detail: Is given each line of the server, and of building again out of the cache.
    """

    say: Callable[[str], None]
    output: Callable[[str], None]
    detail: Callable[[str], None]


class Making:
    """Builds one environment.

    Args:
        engine: Where.
        wish: What.
        talk: Who is told about it.
    """

    def __init__(self, engine: Engine, wish: Wish, talk: Talk) -> None:
        self._engine = engine
        self._wish = wish
        self._talk = talk
        self._directory = wish.request.directory
        self._before = read_lock(self._directory)
        self._name = base_name(self._directory)
        self._version = next_version(self._before.version if self._before else None, wish.bump)
        self._dockerfile = Dockerfile.read(self._directory / wish.request.dockerfile)
        self._platform = ""

    async def run(self) -> Built:
        """Build, introspect, label, write the lock.

        Raises:
            BuildError: A step failed, or files changed meanwhile.
            BackendError: The image's server does not start or does not answer.
            EngineError: The engine failed.
            ConfigError: What was asked for cannot be.
        """
        digests = await self._digests()
        builder = await find_builder(self._engine)
        image = f"{self._name}:{self._version}"
        self._talk.say(f"building {image} with {builder.name}")
        try:
            found = await self._first(builder)
        except (BackendError, BuildError) as error:
            explain(error)
            raise
        data = self._lock_data(digests, found)
        return await self._second(builder, image, data, digests)

    async def _digests(self) -> dict[str, str]:
        digests = await self._hashed()
        if ".env" in digests:
            self._talk.say("warning: COPY may put .env, with what it holds, into the image: name it in .dockerignore")
        return digests

    async def _hashed(self) -> dict[str, str]:
        context = Context(self._directory, self._wish.request.dockerfile)

        def hashed() -> dict[str, str]:
            found = {}
            for path, digest in context.iter_digests():
                anyio.from_thread.check_cancelled()  # there may be very many
                found[path] = digest
            return found

        return await anyio.to_thread.run_sync(hashed)

    # --- an image to look into ----------------------------------------------------------------------------------------

    async def _first(self, builder: Builder) -> Introspection:
        """Build under a name for the while, and ask the server in the image for what it offers."""
        async with _owner(self._engine) as owner:
            tag = f"{TEMPORARY}:{owner.id}"
            try:
                await builder.build(attrs.evolve(self._wish.request, tag=tag), self._talk.output)
                self._platform = await self._made(tag)
                return await self._introspect(owner, tag)
            finally:
                with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
                    await self._forget(tag)

    async def _made(self, tag: str) -> str:
        """Say which platform an image is for: out of its cache, the classic builder takes layers for any.

        Raises:
            BuildError: It is not the one asked for.
        """
        made = _platform(await self._engine.read(self._engine.client.inspect_image, tag))
        asked = self._wish.request.platform or made
        if asked.split("/")[:2] != made.split("/")[:2]:
            fix = f"fetch the base image for it with --pull, or `docker pull --platform {asked}`"
            raise BuildError(f"asked for {asked}, the builder made an image for {made}; {fix}")
        return made

    async def _introspect(self, owner: Owner, tag: str) -> Introspection:
        if missing := [name for name in self._dockerfile.variables()[0] if name not in self._given()]:
            self._talk.say(f"warning: without a value: {', '.join(missing)}; give one with -e NAME=VALUE, or in .env")
        env_file = self._directory / ".env"
        options = ContainerOptions(
            image=tag,
            env=self._wish.env,
            env_file=str(env_file) if env_file.is_file() else False,
            platform=self._wish.request.platform,
            pull="never",
        )
        self._talk.say("looking for its tools and scenarios")
        return await introspect(
            self._engine, owner, self._name, options, lambda line, *_, **__: self._talk.detail(line)
        )

    def _given(self) -> set[str]:
        return {*read_env_file(self._directory / ".env"), *self._wish.env}

    async def _forget(self, tag: str) -> None:
        """Take a name away; layers stay, for the next build."""
        with suppress(ImageMissingError):
            await self._engine.call(self._engine.client.remove_image, tag, noprune=True)

    # --- the lock, and the image that it tells of ---------------------------------------------------------------------

    def _lock_data(self, digests: Mapping[str, str], found: Introspection) -> dict[str, Any]:
        parts = found.lock_parts()
        return {
            "version": LOCK_FORMAT,
            "images": {},
            "build": self._build_part(digests),
            "environment": {
                "initializeMs": found.initialize_ms,
                "toolCount": len(parts["tools"]),
                "internalToolCount": sum(map(len, parts.get("hubTools", {}).values())),
                "variables": self._variables(),
            },
            **parts,
        }

    def _build_part(self, digests: Mapping[str, str]) -> dict[str, Any]:
        request = self._wish.request
        build_args = {name: value for name, value in request.build_args.items() if value}
        is_listed = len(digests) <= MOST_FILES
        return {
            "generatedAt": now(),
            "hudVersion": version_of("hud-core"),
            "directory": self._directory.resolve().name,
            "version": self._version,
            "platform": self._platform,
            "baseImage": self._dockerfile.base_image(build_args),
            "sourceHash": source_hash(digests),
            "sourceCount": len(digests),
            **({"sourceFiles": sorted(digests)} if is_listed else {}),
            **({"sourceDigests": {path: short(digests[path]) for path in sorted(digests)}} if is_listed else {}),
        }

    def _variables(self) -> dict[str, Any]:
        required, optional = self._dockerfile.variables()
        kept = set(self._before.optional) if self._before else set()
        needed = {*required, *self._given()} - kept
        return {"_note": _NOTE, "required": sorted(needed), "optional": sorted({*optional, *kept} - needed)}

    async def _second(self, builder: Builder, image: str, data: dict[str, Any], digests: Mapping[str, str]) -> Built:
        """Build again, out of the cache, with labels that name the lock; then write the lock."""
        labels = {"org.hud.manifest.head": manifest_head(data), "org.hud.version": self._version}
        request = attrs.evolve(self._wish.request, tag=image, labels=labels, use_cache=True, pull=False)
        await builder.build(request, self._talk.detail)
        await self._require_unchanged(image, digests)
        described = await self._engine.read(self._engine.client.inspect_image, image)
        tags = await self._tagged(image)
        data["images"] = {"local": image, "full": f"{image}@{described['Id']}", "pushed": None}
        lock = Lock(self._directory / LOCK_NAME, data, self._before.head if self._before else "")
        await anyio.to_thread.run_sync(write_lock, lock)
        return Built(image=image, id=described["Id"], tags=tags, builder=builder.name, lock=lock)

    async def _require_unchanged(self, image: str, digests: Mapping[str, str]) -> None:
        after = await self._hashed()
        if changed := sorted(path for path in {*digests, *after} if digests.get(path) != after.get(path)):
            await self._forget(image)
            msg = f"{', '.join(changed[:5])} changed during the build; run it again when nothing writes there"
            raise BuildError(msg)

    async def _tagged(self, image: str) -> list[str]:
        names = [split_image(tag, "--tag") for tag in self._wish.tags]
        others = dict.fromkeys([(self._name, "latest"), *((name, tag or "latest") for name, tag in names)])
        for name, tag in others:
            await self._engine.call(self._engine.client.tag, image, name, tag)
        return [f"{name}:{tag}" for name, tag in others]


def _platform(image: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (image["Os"], image["Architecture"], image.get("Variant"))))


@asynccontextmanager
async def _owner(engine: Engine) -> AsyncIterator[Owner]:
    """Own what is created meanwhile: should this process be killed, `hud gc` knows whose it was."""
    owner = Owner()
    await owner.begin(engine)
    try:
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(owner.beat, engine)
            try:
                yield owner
            except Exception as error:  # noqa: BLE001  raised below: out of the group it would come in a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
            await leave(engine, owner)
