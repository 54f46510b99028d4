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
from typing import TYPE_CHECKING, TextIO

import anyio
import anyio.to_thread

from hud_core.errors import ConfigError, describe
from hud_core.failures import current_listener, place_of
from hud_mcp.commands.announce import LOOPBACK, Address, Voice, stdio_introduction
from hud_mcp.commands.console import say, stdout_is_talk
from hud_mcp.commands.dev import DEFAULT_PORT
from hud_mcp.commands.ports import free_port
from hud_mcp.project.reload import Project
from hud_mcp.project.watching import watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from hud_core.environment.environment import Environment
    from hud_mcp.project.targets import Target
    from hud_mcp.server import EnvironmentServer

INTERRUPTED = 130
"""What `hud` exits with after a Ctrl-C that did not wait."""
UNNAMED = "environment"
"""The name of environments that were not given one."""


def serve(arguments: argparse.Namespace, target: Target) -> int:
    """Serve until stopped, and give the exit code.

    Raises:
        ConfigError: The environment cannot be imported, a path to watch does not exist, or the port is in use.
    """
    watched = [Path(path) for path in arguments.watch]
    for path in watched:
        if not path.exists():
            msg = f"--watch {path}: no such file or folder"
            raise ConfigError(msg)
    if arguments.inspector:
        from hud_mcp.commands.inspector import find_npx

        find_npx()
    folders = [path if path.is_dir() else path.parent for path in watched]
    project = Project(target, folders, keep_state=arguments.keep_state)
    with project.importable(), stdout_is_talk() if not arguments.stdio else nullcontext() as stdout:
        try:
            anyio.run(partial(_serve, arguments, project, watched, stdout))
        except ExceptionGroup as group:
            raise _first(group) from None  # one task's error; what else went on was only cancelled
        _leave_when_interrupted()
    return 0


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def _serve(arguments: argparse.Namespace, project: Project, watched: list[Path], stdout: TextIO | None) -> None:
    from hud_mcp.server import EnvironmentServer

    with stdout_is_talk() if arguments.stdio else nullcontext():
        environment = await anyio.to_thread.run_sync(project.load)
    voice = Voice(stdout if arguments.json else None, is_verbose=arguments.verbose)
    current_listener.set(voice.raised)  # for every task that begins from here on: all that serve
    address = None
    if arguments.stdio:
        server = EnvironmentServer(environment)
        work: Callable[[], Awaitable[None]] = server.serve_stdio
    else:
        address = _address(arguments, environment, voice)
        server = EnvironmentServer(environment, token=address.token)
        work = partial(server.serve_http, host=address.host, port=address.port)
    reloader = Reloader(project, server, watched, voice)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        if arguments.stdio and sys.stdin.isatty():
            say(stdio_introduction(_shown(environment), str(project.target)))
        async with anyio.create_task_group() as group:
            group.start_soon(_until_stopped, signals, group.cancel_scope)
            group.start_soon(watch, reloader.paths, reloader.saved)
            if address is not None:
                group.start_soon(_accompany, arguments, address, watched, voice, group.cancel_scope)
            await work()
            group.cancel_scope.cancel()


async def _accompany(
    arguments: argparse.Namespace, address: Address, watched: list[Path], voice: Voice, serving: anyio.CancelScope
) -> None:
    """Say where the server is, once it listens there: whoever reads it may connect at once. Then do what was asked."""
    while True:
        try:
            async with await anyio.connect_tcp(address.reachable, address.port):
                break
        except OSError:
            await anyio.sleep(0.01)
    voice.introduce(address, watched)
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
        project: Imports the environment.
        server: Serves it.
        watched: What to watch; the files of the imported modules when there is nothing.
        voice: Says what happens.
    """

    def __init__(self, project: Project, server: EnvironmentServer, watched: list[Path], voice: Voice) -> None:
        self._project = project
        self._server = server
        self._watched = watched
        self._voice = voice
        self._failure: str | None = None
        self._is_behind = False
        """Whether what was imported last is not what is served."""

    def paths(self) -> Iterable[Path]:
        """Give what to watch."""
        return self._watched or self._project.files

    async def saved(self, files: set[Path]) -> None:
        """Import again what changed, and serve it; keep serving what there is when that fails."""
        began = time.perf_counter()
        # Nobody knows which module reads a data file, or looks for modules itself: then all of them are imported again.
        everything = bool(files - self._project.files) or (self._is_behind and bool(files))
        try:
            found = await anyio.to_thread.run_sync(partial(self._project.reload, everything=everything))
            if found is not None:
                self._is_behind = True
                await self._server.replace(found[0])
                self._is_behind = False
        except Exception as error:  # noqa: BLE001  whatever the user's code does on import, the server goes on
            # What cannot be imported says so itself.
            self._fail(describe(error) + ("" if isinstance(error, ConfigError) else place_of(error)))
            return
        if found is not None:
            self._voice.reloaded(found[1], time.perf_counter() - began)
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
