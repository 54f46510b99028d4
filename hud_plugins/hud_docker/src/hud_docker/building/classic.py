"""The engine's own builder, over its API: for where the ``docker`` program has no BuildKit, or is not there."""

from __future__ import annotations

import os
import re
import threading
from typing import IO, TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from hud_core.errors import ConfigError
from hud_docker.building.context import Context
from hud_docker.building.request import LAST_LINES, Builder, BuildRequest
from hud_docker.translate import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient
    from requests import Response

    from hud_docker.engine import Engine

_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class ClassicBuilder(Builder):
    """Builds with the engine's classic builder.

    Args:
        engine: The engine.
    """

    name = "classic"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def build(self, request: BuildRequest, tell: Callable[[str], None]) -> None:
        """See `Builder.build`."""
        if request.secrets:
            msg = (
                "--secret needs BuildKit: install the docker program with its buildx plugin, and unset DOCKER_BUILDKIT"
            )
            raise ConfigError(msg)
        running = _Running(self._engine, request, tell)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.stop_when_cancelled)
            # Not abandoned: it ends soon after `stop`, and only then is the build over.
            failure = await anyio.to_thread.run_sync(running.run)
            tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()  # the caller may be cancelled; the group did not pass that on
        if failure is not None:
            raise failure


class _Running:
    """One build, in a thread."""

    def __init__(self, engine: Engine, request: BuildRequest, tell: Callable[[str], None]) -> None:
        self._engine = engine
        self._request = request
        self._tell = tell
        self._is_stopped = threading.Event()
        self._response: Response | None = None
        self._step, self._instruction, self._output = "", "", list[str]()

    async def stop_when_cancelled(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._is_stopped.set()
            self._hang_up()

    def run(self) -> Exception | None:
        """Build, and give what it failed with: raised here, it would come out of the task group in a group."""
        try:
            with _client(self._engine) as client:
                client.hooks["response"].append(self._answered)
                archive = cast("IO[bytes]", _Archive(self._blocks))  # requests takes anything that gives bytes
                for message in client.build(fileobj=archive, **_options(self._request)):
                    self._take(message)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller raises it
            return None if self._is_stopped.is_set() else self._explained(error)
        finally:
            if self._response is not None:
                self._response.close()  # it may not have been read to its end
        return None

    def _blocks(self) -> Iterator[bytes]:
        for block in Context(self._request.directory, self._request.dockerfile).tar():
            if self._is_stopped.is_set():
                raise ConnectionAbortedError
            yield block

    def _answered(self, response: Response, **_: object) -> None:
        self._response = response
        if self._is_stopped.is_set():
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection: the engine then cancels the build, and the thread has nothing to read any more."""
        if self._response is not None:
            from docker.types import CancellableStream

            CancellableStream(iter(()), self._response).close()

    def _take(self, message: dict[str, Any]) -> None:
        if "error" in message:
            place = {"step": self._step, "text": self._instruction}
            raise self._request.failure(message["error"], **place, output=self._output)
        for line in _COLOUR.sub("", _text(message)).splitlines():
            if match := _STEP.match(line):
                (self._step, self._instruction), self._output = match.groups(), []
            elif not line.startswith((" ---> ", "Removing intermediate container ")):
                self._output = [*self._output[-LAST_LINES:], line]
            if line.strip():
                self._tell(line)

    def _explained(self, error: Exception) -> Exception:
        """Say what the engine said as an error of ours."""
        from docker.errors import APIError

        if isinstance(error, APIError) and error.is_client_error():
            return self._request.failure(str(error.explanation))
        return translated(error, self._engine.address) or error


def _text(message: dict[str, Any]) -> str:
    if "status" in message:  # a layer of a base image on its way
        return "" if message.get("progressDetail") else f"{message.get('id', '')} {message['status']}".strip()
    return str(message.get("stream", ""))


def _client(engine: Engine) -> APIClient:
    """Make a client for this build alone: a step may be silent for hours."""
    import docker

    address = engine.address
    return docker.APIClient(base_url=address.url, version=engine.client.api_version, tls=address.tls or False)


def _options(request: BuildRequest) -> dict[str, Any]:
    given = {name: os.environ.get(name) if value is None else value for name, value in request.build_args.items()}
    return {
        "custom_context": True,
        "dockerfile": request.dockerfile,
        "tag": request.tag,
        "labels": dict(request.labels),
        "buildargs": {name: value for name, value in given.items() if value is not None},
        "platform": request.platform,
        "nocache": not request.use_cache,
        "pull": request.pull,
        "rm": True,
        "forcerm": True,
        "decode": True,
    }


class _Archive:
    """What is sent to the engine, made while it is sent."""

    def __init__(self, blocks: Callable[[], Iterator[bytes]]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks()
