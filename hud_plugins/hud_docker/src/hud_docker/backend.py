"""The backend ``docker``: environments in containers, a container for each rollout."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio

from hud_core.errors import BackendError, ConfigError, HudError, describe
from hud_core.interfaces import Backend
from hud_core.log import logger
from hud_core.model.task import EnvRef
from hud_core.trace import log_line
from hud_docker.egress import Egress
from hud_docker.engine import Engine
from hud_docker.errors import EngineError, EngineUnreachableError
from hud_docker.images import described, inspected
from hud_docker.options import read_options
from hud_docker.ownership import Owner
from hud_docker.peer import Plan
from hud_docker.pool import Pool
from hud_docker.session import open_container_session
from hud_docker.sweeping import leave, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType

    from hud_core.environment.session import Session
    from hud_core.model.task import Recipe
    from hud_docker.developing.workshop import Workshop
    from hud_docker.images import Image
    from hud_docker.options import ContainerOptions

END_SECONDS = 10.0
"""How long an engine may take to remove what is still left of ours, and our heartbeats."""
AWAY_SECONDS = 60.0
"""How long rollouts wait for an engine that has answered before, and does not now: it may be restarting."""
LOOK_SECONDS = 0.5
"""How often such an engine is looked for."""


class DockerBackend(Backend):
    """Opens environments in containers. Each rollout has one of its own, which is removed after it."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._owner = Owner()
        self._connecting = anyio.Lock()
        self._images: dict[tuple[str, str | None], dict[str, Any]] = {}
        self._finding: dict[tuple[str, str | None], anyio.Lock] = {}
        self._beating: anyio.CancelScope | None = None
        self._away_since: float | None = None
        self._pools: list[Pool] = []
        self._networks: dict[tuple[str, ...], Egress] = {}

    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AbstractAsyncContextManager[Session]:  # noqa: ARG002  containers take none
        """Start a container for one rollout.

        Raises:
            ConfigError: The reference names no image, or an option is wrong.
        """
        if not isinstance(ref, EnvRef):
            msg = (
                f"environment {ref.name!r} is code of this process, and the backend 'docker' opens images; build it "
                "with `hud build`, then connect_image, or give tasks the env {'name': ..., 'backend': 'docker', "
                "'options': {'image': ...}}"
            )
            raise ConfigError(msg)
        return _Opened(self, ref.name, read_options(ref))

    async def check(self) -> None:
        """Find out whether an engine answers.

        Raises:
            BackendError: None does; the message says what to do.
        """
        await self.engine()

    def develop(
        self, folder: Path, *, module: str | None, docker_args: Sequence[str], say: Callable[[str], None]
    ) -> Workshop:
        """Make what keeps an image, and the containers made from it, in step with a folder: `hud dev` asks for it.

        Args:
            folder: Has the Dockerfile.
            module: What is to be served in there; None leaves it to the image.
            docker_args: Arguments of ``docker run`` for the containers.
            say: Takes the lines of a build.

        Raises:
            ConfigError: There is no Dockerfile, or an argument of ``docker run`` cannot be right.
        """
        from hud_docker.developing.workshop import Workshop

        return Workshop(folder, module=module, docker_args=docker_args, say=say)

    async def plan(self, name: str, options: ContainerOptions) -> Plan:
        """Find the engine and the image, once for all rollouts of a job.

        Raises:
            EngineError: There is no engine, or no such image.
        """
        engine = await self.engine()
        image = await self._image(engine, options)
        egress = None if options.egress is None else await self._network(engine, options.egress)
        return Plan(engine=engine, owner=self._owner, name=name, options=options, image=image, egress=egress)

    async def _network(self, engine: Engine, hosts: tuple[str, ...]) -> Egress:
        """Give the network of containers that may reach these hosts.

        Raises:
            ConfigError: There is no job, in which its proxy would run.
        """
        if self.tasks is None:
            msg = "egress needs a job, whose proxy lets containers out: use hud.run or hud.eval"
            raise ConfigError(msg)
        async with self._connecting:
            if hosts not in self._networks:
                self._networks[hosts] = await Egress.open(engine, self._owner, hosts, self.tasks)
        return self._networks[hosts]

    async def session(self, name: str, options: ContainerOptions) -> AbstractAsyncContextManager[Session]:
        """Give a session with a container: one that is ready ahead of need, where a job has a pool.

        Raises:
            EngineError: There is no engine, or no such image.
        """
        plan = await self.plan(name, options)
        if self.tasks is None or self.upcoming is None or options.pool == 0:
            return open_container_session(plan)
        pool = next((pool for pool in self._pools if pool.plan == plan), None)
        if pool is None:
            pool = Pool(plan, self.tasks, self._wanted)
            self._pools.append(pool)
        return pool.session()

    def _wanted(self) -> int:
        """Say how many containers may be started ahead of need: all together no more than rollouts are to come."""
        waiting = sum(len(pool.waiting) for pool in self._pools)
        return 0 if self.upcoming is None else self.upcoming() - waiting

    async def engine(self) -> Engine:
        """Give the engine; on first use, find it and remove what dead owners left there.

        Raises:
            EngineError: None answers.
        """
        async with self._connecting:
            if self._engine is None:
                engine = await Engine.connect()
                await self._owner.begin(engine)
                self._engine = engine
                if self.tasks is not None:
                    self._beating = anyio.CancelScope()
                    self.tasks.start_soon(self._tend, engine, self._beating, name="docker")
        return self._engine

    async def is_back(self) -> bool:
        """Wait for an engine that has answered before, and say whether it does again; once, if it stays away."""
        if (engine := self._engine) is None:
            return False
        if self._away_since is None:
            self._away_since = anyio.current_time()
            logger().warning(f"no engine answers at {engine.address} any more; waiting {AWAY_SECONDS:.0f} s for it")
        since = self._away_since  # of this absence: others who wait may end it first
        while not await _answers(engine):
            if anyio.current_time() - since > AWAY_SECONDS:
                return False
            await anyio.sleep(LOOK_SECONDS)
        self._away_since = None
        return True

    async def _tend(self, engine: Engine, scope: anyio.CancelScope) -> None:
        """Show that this owner lives, as long as the backend does."""
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._owner.beat, engine)
                tasks.start_soon(_swept, engine, self._owner.id)

    async def _image(self, engine: Engine, options: ContainerOptions) -> Image:
        """Find an image; all rollouts of a job get the same one, whatever its tag comes to name meanwhile."""
        key = (options.image, options.platform)
        async with self._finding.setdefault(key, anyio.Lock()):
            if key not in self._images:
                self._images[key] = await inspected(engine, options, _say)
        return described(self._images[key], options)

    async def aclose(self) -> None:
        """End what goes on, and see to it that nothing of ours is left."""
        async with anyio.create_task_group() as closing:
            for pool in self._pools:
                closing.start_soon(pool.aclose)
        self._pools.clear()
        for egress in self._networks.values():
            await egress.aclose()
        self._networks.clear()
        engine, self._engine = self._engine, None
        if self._beating is not None:
            self._beating.cancel()
        if engine is None:
            return
        with anyio.move_on_after(END_SECONDS, shield=True):
            try:
                await leave(engine, self._owner)
            except HudError as error:
                logger().warning(f"the engine keeps a heartbeat: {describe(error)}; `hud gc` removes it")
        await engine.aclose()


def _say(text: str) -> None:
    log_line(text, source="docker")


async def _answers(engine: Engine) -> bool:
    try:
        await engine.read(engine.client.ping)
    except EngineError:
        return False
    return True


async def _swept(engine: Engine, owner: str) -> None:
    """Remove what dead owners left; a job does not depend on it."""
    try:
        await sweep(engine, but=owner)
    except HudError as error:
        logger().warning(f"what dead jobs left on the engine is not removed: {describe(error)}; see `hud gc`")


class _Opened:
    """One rollout's container."""

    def __init__(self, backend: DockerBackend, name: str, options: ContainerOptions) -> None:
        self._backend = backend
        self._name = name
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Session:
        try:
            return await self._entered()
        except EngineUnreachableError:
            raise  # says itself what to do
        except BackendError as error:
            from hud_docker.debugging.fixes import explain

            explain(error)
            raise

    async def _entered(self) -> Session:
        try:
            return await self._stack.enter_async_context(await self._backend.session(self._name, self._options))
        except EngineUnreachableError:
            if not await self._backend.is_back():
                raise
        return await self._stack.enter_async_context(await self._backend.session(self._name, self._options))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)
