"""Serves an environment, and replaces it when its files are saved."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import anyio
from attrs import evolve

from hud_core.errors import ConfigError, HudError, describe
from hud_core.failures import current_listener, place_of
from hud_core.trace import current_recorder
from hud_mcp.commands.announce import LOOPBACK, Address, Voice, stdio_introduction
from hud_mcp.commands.console import say, stdout_is_talk
from hud_mcp.commands.dev import DEFAULT_PORT
from hud_mcp.commands.ports import free_port
from hud_mcp.project.reload import Project
from hud_mcp.project.source import Containers, Modules
from hud_mcp.project.watching import watch
from hud_mcp.wire import TOKEN_VARIABLE

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from hud_core.environment.environment import Environment
    from hud_mcp.project.source import Develops, Source
    from hud_mcp.project.targets import Target
    from hud_mcp.server import EnvironmentServer

INTERRUPTED = 130
"""What `hud` exits with after a Ctrl-C that did not wait."""
UNNAMED = "environment"
"""The name of environments that were not given one."""


def serve(arguments: argparse.Namespace, target: Target) -> int:
    """Serve Python modules until stopped, and give the exit code.

    Raises:
        ConfigError: The environment cannot be imported, a path to watch does not exist, or the port is in use.
    """
    watched = _watched(arguments)
    folders = [path if path.is_dir() else path.parent for path in watched]
    project = Project(target, folders, keep_state=arguments.keep_state)
    with project.importable():
        return _run(arguments, Modules(project), watched)


def serve_container(arguments: argparse.Namespace, folder: Path) -> int:
    """Build a folder's image and serve a container of it until stopped, and give the exit code.

    Raises:
        ConfigError: The image cannot be built, a path to watch does not exist, or the port is in use.
        UnknownProviderError: No installed plugin runs containers.
    """
    watched = _watched(arguments)
    if arguments.keep_state:
        msg = (
            "--keep-state is for modules that are imported here, and not for a container; leave it out, or --no-docker"
        )
        raise ConfigError(msg)
    return _run(arguments, containers(arguments, folder, arguments.module), watched)


def containers(arguments: argparse.Namespace, folder: Path, module: str | None) -> Containers:
    """Make what builds a folder's image and opens containers of it.

    Raises:
        UnknownProviderError: No installed plugin runs containers.
    """
    arguments.kernel.backends["docker"]  # raises, with what to install
    create = partial(arguments.kernel.backends.create, "docker")
    backend = cast("Callable[[], Develops]", create)
    return Containers(backend, folder, module=module, docker_args=arguments.docker_args, say=say)


def _watched(arguments: argparse.Namespace) -> list[Path]:
    """See that everything is there that was asked for."""
    if arguments.inspector:
        from hud_mcp.commands.inspector import find_npx

        find_npx()
    watched = [Path(path) for path in arguments.watch]
    for path in watched:
        if not path.exists():
            msg = f"--watch {path}: no such file or folder"
            raise ConfigError(msg)
    return watched


def _run(arguments: argparse.Namespace, source: Source, watched: list[Path]) -> int:
    with stdout_is_talk() if not arguments.stdio else nullcontext() as stdout:
        try:
            anyio.run(partial(_serve, arguments, source, watched, stdout))
        except ExceptionGroup as group:
            raise _first(group) from None  # one task's error; what else went on was only cancelled
        _leave_when_interrupted()
    return 0


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def _serve(arguments: argparse.Namespace, source: Source, watched: list[Path], stdout: TextIO | None) -> None:
    from hud_mcp.server import EnvironmentServer

    environment = await _loaded(arguments, source)
    if environment is None:
        return
    voice = Voice(stdout if arguments.json else None, is_verbose=arguments.verbose)
    current_listener.set(voice.raised)  # for every task that begins from here on: all that serve
    current_recorder.set(voice.recorder())
    address = None
    if arguments.stdio:
        server = EnvironmentServer(environment)
        work: Callable[[], Awaitable[None]] = server.serve_stdio
    else:
        address = _address(arguments, environment, voice)
        server = EnvironmentServer(environment, token=address.token)
        work = partial(server.serve_http, host=address.host, port=address.port)
    reloader = Reloader(source, server, watched, voice)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        if arguments.stdio and sys.stdin.isatty():
            say(stdio_introduction(_shown(environment), source.name))
        async with anyio.create_task_group() as group:
            group.start_soon(_until_stopped, signals, group.cancel_scope)
            group.start_soon(watch, reloader.paths, reloader.saved)
            if source.starts_early:
                group.start_soon(_start, server, voice)
            if address is not None:
                shown = ", ".join(map(str, watched)) or source.watched
                group.start_soon(_accompany, arguments, address, shown, voice, group.cancel_scope)
            await work()
            group.cancel_scope.cancel()


async def _loaded(arguments: argparse.Namespace, source: Source) -> Environment | None:
    """Make the environment; None where that was interrupted, which a build may be at any time."""
    loaded: Environment | None = None

    async def load() -> None:
        nonlocal loaded
        loaded = await source.load()
        group.cancel_scope.cancel()

    with (
        stdout_is_talk() if arguments.stdio else nullcontext(),
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) if source.starts_early else nullcontext() as signals,
    ):
        if signals is None:  # an import in a thread cannot be stopped: Python's own Ctrl-C ends it with the process
            return await source.load()
        async with anyio.create_task_group() as group:
            group.start_soon(_until_stopped, signals, group.cancel_scope)
            await load()
    return loaded


async def _start(server: EnvironmentServer, voice: Voice) -> None:
    """Start what is served, once the transport is there to serve it."""
    try:
        await server.start()
    except HudError as error:
        voice.failed(describe(error), serves_on=False)


async def _accompany(
    arguments: argparse.Namespace, address: Address, watched: str, voice: Voice, serving: anyio.CancelScope
) -> None:
    """Say where the server is, once it listens there: whoever reads it may connect at once. Then do what was asked."""
    while True:
        try:
            async with await anyio.connect_tcp(address.reachable, address.port):
                break
        except OSError:
            await anyio.sleep(0.01)
    is_known = address.token is not None and address.token == arguments.known_token
    voice.introduce(evolve(address, token=f"${{{TOKEN_VARIABLE}}}") if is_known else address, watched)
    async with anyio.create_task_group() as group:
        if arguments.inspector:
            from hud_mcp.commands.inspector import inspect

            group.start_soon(inspect, address)
        if arguments.interactive:
            from hud_mcp.commands.interactive import converse

            await converse(address)
            serving.cancel()


async def _until_stopped(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    await anext(signals)
    say("stopping")
    _leave_when_interrupted()
    scope.cancel()


def _leave_when_interrupted() -> None:
    """Have Ctrl-C end the process at once: a tool in a worker thread cannot be stopped, and Python waits for it."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


class Reloader:
    """Replaces a server's environment when files of the project are saved.

    Args:
        source: Makes the environment.
        server: Serves it.
        watched: What to watch; the files of the imported modules when there is nothing.
        voice: Says what happens.
    """

    def __init__(self, source: Source, server: EnvironmentServer, watched: list[Path], voice: Voice) -> None:
        self._source = source
        self._server = server
        self._watched = watched
        self._voice = voice
        self._failure: str | None = None
        self._is_behind = False
        """Whether what was imported last is not what is served."""

    def paths(self) -> Iterable[Path]:
        """Give what to watch."""
        return self._watched or self._source.files

    async def saved(self, files: set[Path]) -> None:
        """Load again what changed, and serve it; keep serving what there is when that fails."""
        began = time.perf_counter()
        try:
            found = await self._source.reload(files, is_behind=self._is_behind)
            if found is not None and found.environment is not None:
                self._is_behind = True
                await self._server.replace(found.environment)
                self._is_behind = False
        except Exception as error:  # noqa: BLE001  whatever the user's code does on import, the server goes on
            # What cannot be imported says so itself.
            self._fail(describe(error) + ("" if isinstance(error, ConfigError) else place_of(error)))
            return
        if found is not None:
            is_copied = found.environment is None
            self._voice.reloaded(found.names, time.perf_counter() - began, is_copied=is_copied)
        elif self._failure is not None:
            self._voice.reloaded([], time.perf_counter() - began)
        self._failure = None

    def _fail(self, text: str) -> None:
        if text != self._failure:
            self._voice.failed(text)
        self._failure = text


# --- address ----------------------------------------------------------------------------------------------------------


def _address(arguments: argparse.Namespace, environment: Environment, voice: Voice) -> Address:
    token = arguments.token
    if token is None and arguments.host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
    port = free_port(arguments.host, arguments.port)
    if arguments.port is None and port != DEFAULT_PORT:
        voice.moved(port)
    return Address(_shown(environment), arguments.host, port, token)


def _shown(environment: Environment) -> str:
    """Give the name that clients are to call the server by."""
    return "my-dev-env" if environment.name == UNNAMED else environment.name
