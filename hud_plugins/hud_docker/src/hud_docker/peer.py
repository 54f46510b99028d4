"""Containers as what `hud_mcp` speaks with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from attrs import frozen

from hud_core.errors import BackendError, ConfigError
from hud_docker.config import engine_config
from hud_docker.container import STATE_SECONDS, Container
from hud_docker.egress import Egress
from hud_docker.engine import Engine
from hud_docker.errors import ImageMissingError
from hud_docker.images import Image
from hud_docker.options import ContainerOptions
from hud_docker.ownership import Owner
from hud_docker.variables import Redactor, variables
from hud_mcp import Peer, Pipes, ServingPeer
from hud_mcp.wire import HARNESS_VARIABLE, HOST_VARIABLE, TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_SECONDS = 0.05
"""How long to wait before a port is tried again."""


@frozen(kw_only=True)
class Plan:
    """What a container is made of. Its variables are put together when it is created, and kept nowhere."""

    engine: Engine
    owner: Owner
    name: str
    """The environment's name, as tasks know it."""
    options: ContainerOptions
    image: Image
    """What `find_image` found for the options."""
    kind: str = "rollout"
    """What it is for, for its labels."""
    egress: Egress | None = None
    """The network of a container that may reach some hosts only."""


class ContainerPeer(Peer):
    """A container that lives as long as one connection.

    Args:
        plan: What it is to be.
        capability: What the harness shows its server.
    """

    def __init__(self, plan: Plan, capability: str) -> None:
        self._plan = plan
        self._capability = capability
        self._clean: Redactor | None = None
        self.container: Container | None = None

    async def start(self) -> Pipes:
        """Create and start the container; if that fails, it is removed."""
        plan = self._plan
        env = {**variables(plan.options), **self._own_variables()}
        self._clean = Redactor(env)
        config = engine_config(
            plan.options,
            image=plan.image.id,
            env=env,
            labels=plan.owner.labels(plan.kind),
            command=plan.image.arguments,
            port=plan.image.port,
        )
        if plan.egress is not None:
            config = plan.egress.configured(config)
        self.container = container = await self._created(config)
        try:
            attached = await container.start()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await container.remove()
            raise
        return Pipes(stdin=attached.stdin, stdout=attached.stdout, stderr=attached.stderr)

    async def _created(self, config: dict[str, Any]) -> Container:
        plan = self._plan
        try:
            return await Container.create(plan.engine, config, title=plan.name, platform=plan.options.platform)
        except ImageMissingError as error:  # the engine knows it by its id only
            msg = f"the image {plan.image.name!r} is not there any more; build or pull it again: {error}"
            raise ImageMissingError(msg) from error

    def _own_variables(self) -> Mapping[str, str]:
        return {HARNESS_VARIABLE: self._capability}

    async def stop(self) -> None:
        """End and remove the container."""
        if self.container is not None:
            listens = self._plan.image.port is None  # over HTTP, nobody reads stdin
            await self.container.stop(self._plan.options.stop_timeout, listens=listens)

    @property
    def has_ended(self) -> bool:
        """Whether the container has ended."""
        return self.container is not None and self.container.has_ended

    async def ended(self) -> None:
        """Wait until the container has ended."""
        if self.container is not None:
            await self.container.ended()

    def fate(self) -> str:
        """Say how the container ended."""
        return "" if self.container is None else self.container.fate()

    def shown(self, line: str) -> str:
        """Hide what is secret in a line that the container wrote."""
        return line if self._clean is None else self._clean(line)


class ServingContainerPeer(ContainerPeer, ServingPeer):
    """A container that serves MCP over HTTP, on a port that is published on this machine alone.

    Args:
        plan: What it is to be.
        capability: What the harness shows its server.
        token: What every client shows its server.
    """

    def __init__(self, plan: Plan, capability: str, token: str) -> None:
        super().__init__(plan, capability)
        self._token = token

    def _own_variables(self) -> Mapping[str, str]:
        own = {HOST_VARIABLE: "0.0.0.0", TOKEN_VARIABLE: self._token}  # noqa: S104  in the container
        return {**super()._own_variables(), **own}

    async def address(self) -> str:
        """Wait until something in the container answers on the port.

        Raises:
            BackendError: The engine is elsewhere: its ports are not on this machine.
            ConfigError: No port of it is published.
            ConnectionError: The container has ended.
        """
        plan, container, inside = self._plan, self.container, self._plan.image.port
        assert container is not None  # noqa: S101  it was started
        assert inside is not None  # noqa: S101  else it would be spoken to over stdio
        if not plan.engine.is_local:
            msg = f"the engine at {plan.engine.address} is elsewhere, and so are its ports; use transport='stdio'"
            raise BackendError(msg)
        port = await container.published(inside)
        if port is None:
            await self._without_port(container)
        while port is None or not await _answers(port, plan.options.path):
            if self.has_ended:
                await self.ended()
                msg = f"it ended before it served MCP on port {inside}"
                raise ConnectionError(msg)
            await anyio.sleep(PROBE_SECONDS)
        return f"http://127.0.0.1:{port}{plan.options.path}"

    async def _without_port(self, container: Container) -> None:
        """Wait for the end of a container that has ended already.

        Raises:
            ConfigError: It has not: its network has no way in.
        """
        with anyio.move_on_after(STATE_SECONDS):
            await container.ended()
        if not container.has_ended:
            msg = (
                f"image {self._plan.image.name!r} serves MCP over HTTP, and its network publishes no port, as with "
                "network='none' and egress; have it run `hud dev` with --stdio"
            )
            raise ConfigError(msg)


async def _answers(port: int, path: str) -> bool:
    """Whether something answers in HTTP. That a port can be connected to means nothing: the engine itself takes it."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request.encode())
            return (await stream.receive(16)).startswith(b"HTTP/")
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
