"""BuildKit, by the ``docker`` program: the one that has sessions for secrets, caches and parallel stages."""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from contextlib import asynccontextmanager
from subprocess import DEVNULL, PIPE, STDOUT
from typing import TYPE_CHECKING

import anyio
from anyio.streams.text import TextReceiveStream

from hud_core.errors import ConfigError
from hud_docker.building.classic import ClassicBuilder
from hud_docker.building.request import LAST_LINES, Builder, BuildRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from anyio.abc import Process

    from hud_docker.engine import Engine

PATIENCE = 10.0
"""Seconds that a cancelled build has to end by itself."""
_VERTEX = re.compile(r"#(\d+) \[(?:[\w.-]+ )?(\d+/\d+)\] (.*)")
_OUTPUT = re.compile(r"#(\d+) \d+\.\d+ (.*)")
_FAILED = re.compile(r"#(\d+) ERROR: (.*)")
# What stands before every reason.
_PREFIX = re.compile(r"(?:ERROR: |failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: )*")


async def find_builder(engine: Engine) -> Builder:
    """Choose BuildKit where the engine and the ``docker`` program have it, and the classic builder elsewhere.

    ``DOCKER_BUILDKIT=0`` chooses the classic one, as it does for ``docker build``.
    """
    program = shutil.which("docker")
    if program is None or os.environ.get("DOCKER_BUILDKIT", "1") == "0" or not await _has_buildkit(engine):
        return ClassicBuilder(engine)
    helped = await anyio.run_process(
        [program, "build", "--help"], check=False, stderr=DEVNULL, env=_environment(engine)
    )
    known = helped.stdout.decode(errors="replace")
    # It lists these only where it has BuildKit: built in until Docker 22, by its buildx plugin since.
    if helped.returncode or "--secret" not in known or "--progress" not in known:
        return ClassicBuilder(engine)
    return BuildKitBuilder(engine, program, loads="--load" in known)


async def _has_buildkit(engine: Engine) -> bool:
    """Whether it is Docker: Podman speaks its API, without the sessions that BuildKit's clients open."""
    version = await engine.read(engine.client.version)
    return not any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or ())


def _environment(engine: Engine) -> dict[str, str]:
    """Give what the program is to see: BuildKit, and the engine that we talk to."""
    found = {**os.environ, "DOCKER_BUILDKIT": "1"}
    if engine.address.tls is None:  # with it, the program finds engine and certificates as we did
        found["DOCKER_HOST"] = engine.address.url
    return found


class BuildKitBuilder(Builder):
    """Builds with ``docker build``.

    Args:
        engine: The engine.
        program: The path of ``docker``.
        loads: Whether it must be told to put the image where containers find it.
    """

    name = "buildkit"

    def __init__(self, engine: Engine, program: str, *, loads: bool) -> None:
        self._engine = engine
        self._program = program
        self._loads = loads

    async def build(self, request: BuildRequest, tell: Callable[[str], None]) -> None:
        """See `Builder.build`."""
        log = _Log()
        async with self._started(request) as process:
            async for line in _lines(process):
                log.take(line)
                tell(line)
            code = await process.wait()
        if code:
            raise log.failure(request, code)

    @asynccontextmanager
    async def _started(self, request: BuildRequest) -> AsyncIterator[Process]:
        """Run the program; leaving before it is done ends it, and the build with it."""
        command = [self._program, "build", *self._words(request), os.fspath(request.directory)]
        environment = _environment(self._engine)
        try:
            process = await anyio.open_process(
                command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment, start_new_session=True
            )
        except OSError as error:
            msg = f"cannot start {self._program}: {error.strerror}; DOCKER_BUILDKIT=0 builds without it"
            raise ConfigError(msg) from error
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await _ended(process)

    def _words(self, request: BuildRequest) -> Iterator[str]:
        yield from ("--progress", "plain", "-f", os.fspath(request.directory / request.dockerfile), "-t", request.tag)
        if self._loads:
            yield "--load"
        if not request.use_cache:
            yield "--no-cache"
        if request.pull:
            yield "--pull"
        if request.platform:
            yield from ("--platform", request.platform)
        for name, value in request.build_args.items():
            yield from ("--build-arg", name if value is None else f"{name}={value}")
        for name, value in request.labels.items():
            yield from ("--label", f"{name}={value}")
        for secret in request.secrets:
            yield from ("--secret", secret.argument)


async def _ended(process: Process) -> None:
    """End it if it still runs: it tells the engine to stop building, and so is asked first."""
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(PATIENCE):
            await process.wait()
    if process.returncode is None:
        process.kill()
    await process.aclose()


async def _lines(process: Process) -> AsyncIterator[str]:
    assert process.stdout is not None  # noqa: S101  it was asked for
    rest = ""
    async for text in TextReceiveStream(process.stdout, errors="replace"):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    if rest:
        yield rest


class _Log:
    """What the program prints, kept as far as a message may need it."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[str, str]] = {}
        self._output: dict[str, deque[str]] = {}
        self._failed: tuple[str, str] | None = None
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def take(self, line: str) -> None:
        """Read one line."""
        if match := _VERTEX.match(line):
            self._steps[match[1]] = (match[2], match[3])
        elif match := _OUTPUT.match(line):
            self._output.setdefault(match[1], deque(maxlen=LAST_LINES)).append(match[2])
        elif match := _FAILED.match(line):
            self._failed = (match[1], match[2])
        elif line.strip() and not line.startswith("See 'docker"):
            self._last.append(line)

    def failure(self, request: BuildRequest, code: int) -> Exception:
        """Say what failed."""
        if self._failed is not None and self._failed[0] in self._steps:
            vertex, reason = self._failed
            step, text = self._steps[vertex]
            return request.failure(reason, step=step, text=text, output=list(self._output.get(vertex, ())))
        reason = self._last[-1] if self._last else f"docker build ended with exit code {code}"
        return request.failure(_PREFIX.sub("", reason, count=1))
