"""One container, from its creation to its removal. Whoever makes one sees to it that it is removed."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Self

import anyio

from hud_core.errors import describe
from hud_core.log import logger
from hud_docker.attach import attach
from hud_docker.errors import ConflictError, EngineError, MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_docker.attach import Attached
    from hud_docker.engine import Engine

REMOVE_SECONDS = 20.0
"""How long an engine may take to kill and remove a container; after that `hud gc` does it."""
STATE_SECONDS = 2.0
"""How long an engine may take to know that a container whose streams have ended has ended itself."""
_KILLED, _NOT_RUNNABLE, _NOT_FOUND, _SIGNALS = 137, 126, 127, 128


class Container:
    """A container that the engine knows. `create` makes one.

    Args:
        engine: The engine.
        id: The engine's name for it.
        name: People's name for it.
    """

    def __init__(self, engine: Engine, id: str, name: str) -> None:  # noqa: A002  what everybody calls it
        self.engine = engine
        self.id = id
        self.name = name
        self.attached: Attached | None = None
        self._memory: int | None = None
        self._state: Mapping[str, Any] | None = None
        self._lost = ""
        self._warning = ""

    @classmethod
    async def create(cls, engine: Engine, config: dict[str, Any], *, title: str, platform: str | None = None) -> Self:
        """Create a container; nothing runs yet.

        Args:
            engine: The engine.
            config: What it is to be; see `hud_docker.config.engine_config`.
            title: A part of its name.
            platform: As ``linux/amd64``.

        Raises:
            EngineError: The engine refuses.
        """
        name = f"hud-{re.sub(r'[^a-zA-Z0-9_.-]+', '-', title).strip('-.')[:40]}-{secrets.token_hex(4)}"
        made = await engine.call(engine.client.create_container_from_config, config, name, platform)
        # No checkpoint since the call: whoever is cancelled now knows the container all the same.
        container = cls(engine, made["Id"], name)
        container._memory = config["HostConfig"].get("Memory")
        container._warning = next((it for it in made.get("Warnings") or () if "platform" in it), "")
        return container

    async def start(self) -> Attached:
        """Attach to its streams, then start it: nothing of what it writes is lost.

        Raises:
            EngineError: The engine refuses; the message says why it cannot be started.
            ConfigError: The engine is reached in a way that cannot carry streams.
        """
        self.attached = await attach(self.engine, self.id)
        await self.engine.call(self.engine.client.start, self.id)
        return self.attached

    async def inspect(self) -> dict[str, Any]:
        """Ask the engine about it.

        Raises:
            MissingError: It is gone.
            EngineError: The engine failed.
        """
        found: dict[str, Any] = await self.engine.read(self.engine.client.inspect_container, self.id)
        return found

    async def published(self, port: int) -> int | None:
        """Give the port of this machine that leads to one of its; None where none does."""
        bindings = (await self.inspect())["NetworkSettings"]["Ports"].get(f"{port}/tcp") or ()
        return next((int(binding["HostPort"]) for binding in bindings), None)

    # --- the end ------------------------------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether its streams have ended, as they do with it."""
        return self.attached is not None and self.attached.ended.is_set()

    async def ended(self) -> None:
        """Wait until it has ended, and find out how."""
        if self.attached is not None:
            await self.attached.until_ended()
        with anyio.move_on_after(STATE_SECONDS):
            while not await self._look():  # noqa: ASYNC110  another program knows
                await anyio.sleep(0.02)

    async def _look(self) -> bool:
        """Find out how it ended; says whether that is known."""
        if self._state is not None or self._lost:
            return True
        try:
            state = (await self.inspect())["State"]
        except MissingError:
            self._lost = "it was removed by somebody else"
        except EngineError as error:
            self._lost = f"the engine does not know how it ended: {error}"
        else:
            self._state = None if state.get("Running") else state
        return bool(self._state is not None or self._lost)

    def fate(self) -> str:
        """Say how it ended; empty while that is not known."""
        if self._state is None:
            return self._lost
        code, said = self._state.get("ExitCode"), self._state.get("Error") or ""
        how = _said(code, is_oom=bool(self._state.get("OOMKilled")), memory=self._memory)
        warned = f"; the engine warned: {self._warning}" if self._warning else ""
        return f"{how}{f': {said}' if said else ''}{warned}"

    async def stop(self, seconds: float, *, listens: bool = True) -> None:
        """End it as MCP asks, stdin first, then by SIGTERM and by SIGKILL; then remove it with its anonymous volumes.

        To be called shielded; it has a deadline itself. What fails is logged, and left to `hud gc`.

        Args:
            seconds: How long it may take after the end of its stdin and after SIGTERM, together.
            listens: Whether the end of its stdin means anything to it.
        """
        if self.attached is not None and not self.has_ended:
            if listens:
                await self._end_stdin(seconds / 2)
            await self._terminate(seconds / 2)
        elif self.attached is not None:
            await self.ended()  # how it ended is asked for now: nobody knows that of one that is removed
        await self.remove()

    async def _end_stdin(self, seconds: float) -> None:
        assert self.attached is not None  # noqa: S101  the only caller has looked
        with anyio.move_on_after(seconds):
            try:
                await self.attached.stdin.aclose()
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the engine is gone, or it has just ended
            await self.attached.until_ended()

    async def _terminate(self, seconds: float) -> None:
        assert self.attached is not None  # noqa: S101  the only caller has looked
        with anyio.move_on_after(seconds):
            if self.has_ended:
                return
            try:
                await self.engine.read(self.engine.client.kill, self.id, "SIGTERM")
            except EngineError:
                return  # it has just ended; or the engine is gone, and says so when it is to be removed
            await self.attached.until_ended()

    async def remove(self) -> None:
        """Kill it if it runs, and remove it with its anonymous volumes; keeps a deadline, and is to be shielded."""
        with anyio.move_on_after(REMOVE_SECONDS) as limit:
            try:
                await self.engine.read(self.engine.client.remove_container, self.id, v=True, force=True)
            except (MissingError, ConflictError):
                pass  # it is gone, or somebody else is removing it
            except EngineError as error:
                self._left(describe(error))
        if limit.cancelled_caught:
            self._left(f"the engine takes longer than {REMOVE_SECONDS:g} s")
        if self.attached is not None:
            await self.attached.aclose()

    def _left(self, why: str) -> None:
        logger().warning(f"container {self.name} is not removed: {why}; the job does it when it ends, or `hud gc`")


def _said(code: int | None, *, is_oom: bool, memory: int | None) -> str:
    if is_oom:
        limit = f"its limit of {memory / (1 << 20):g} MiB" if memory else "there is"
        return f"it was killed because it used more memory than {limit} (option memory)"
    if code == _KILLED:
        return "it was killed from outside, by SIGKILL"
    if code in (_NOT_RUNNABLE, _NOT_FOUND):
        what = "not found in the image" if code == _NOT_FOUND else "no program that can be run"
        return f"it exited with code {code}: its command is {what}"
    if code is not None and code > _SIGNALS:
        return f"it was ended by signal {code - _SIGNALS}"
    return f"it exited with code {code}"
