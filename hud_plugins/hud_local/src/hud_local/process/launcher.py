"""Fork servers, seen from the job: started once for each environment, asked for children, ended with the backend."""

from __future__ import annotations

import contextlib
import errno
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from hud_core.errors import BackendError, ConfigError
from hud_local.process.channel import Channel, ChannelClosed
from hud_local.process.failures import rebuild
from hud_local.process.messages import decode, encode
from hud_local.process.output import Output

if TYPE_CHECKING:
    from hud_local.process.loading import Source
    from hud_local.process.messages import Response

END_SECONDS = 6.0
"""How long a server has to end when it is told to, before it is killed."""
REPORT_SECONDS = 5.0
"""How long a server has to report a child that has ended or was killed, and to end once its own socket is closed."""


class ForkServer:
    """A process that has an environment imported, and forks it. Use `start`."""

    def __init__(self, process: subprocess.Popen[bytes], control: Channel, environments: frozenset[str]) -> None:
        self._process = process
        self._control = control
        self.environments = environments
        """The names of the environments in its files."""

    @classmethod
    async def start(cls, sources: tuple[Source, ...]) -> ForkServer:
        """Start a process and have it import these modules.

        Raises:
            ConfigError: A module cannot be imported; another attempt would not help.
            BackendError: The process ended.
        """
        control, process = _launch()
        try:
            response = await control.request("import", encode((sources, sys.argv)))
        except ChannelClosed:
            status = await _exit_status(process)
            _end_now(process, control)
            msg = f"the process that imports {sources[0].file} ended: {describe_exit(status)}"
            raise BackendError(msg) from None
        except BaseException:  # cancelled: nothing may be left of it
            _end_now(process, control)
            raise
        if response.failure is not None:
            _end_now(process, control)
            files = ", ".join(source.file for source in sources)
            msg = f"cannot import {files} in a process of its own: {response.failure.text}"
            raise ConfigError(msg)
        return cls(process, control, frozenset(decode(response.payload)))

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    async def spawn(self, name: str, seed: int | None) -> tuple[ChildProcess, Channel, Channel]:
        """Fork a child that serves the environment `name`; give it with the harness's and the agent's channel to it.

        It may still fail to come up, which its requests show.

        Raises:
            BackendError: There are too many open files or processes, or the server has gone.
        """
        try:
            try:
                return await self._spawn(name, seed)
            except OSError as error:
                if error.errno != errno.EMFILE or not allow_more_files():
                    raise
                return await self._spawn(name, seed)
        except OSError as error:
            fix = "run fewer rollouts at once, or raise `ulimit -n`"
            msg = f"cannot open environment {name!r}: {error.strerror}; {fix}"
            raise BackendError(msg) from None
        except ChannelClosed:
            msg = f"cannot open environment {name!r}: {await self.describe_end()}"
            raise BackendError(msg) from None

    async def _spawn(self, name: str, seed: int | None) -> tuple[ChildProcess, Channel, Channel]:
        with contextlib.ExitStack() as stack:  # closes the child's ends; ours too unless all goes well
            harness, their_harness = map(stack.enter_context, socket.socketpair())
            tools, their_tools = map(stack.enter_context, socket.socketpair())
            output = stack.enter_context(contextlib.closing(Output()))
            for theirs in (their_harness, their_tools):
                theirs.setblocking(False)  # noqa: FBT003  the name says it
            fds = [their_harness.fileno(), their_tools.fileno(), output.fileno()]
            number = await self._control.send("fork", encode((name, seed)), fds=fds)
            stack.pop_all()
            their_harness.close()
            their_tools.close()
        return ChildProcess(self, number, output), Channel(harness), Channel(tools)

    def kill(self, number: int) -> None:
        """Have the child of this number killed, and whatever it started."""
        self._control.post("kill", number)

    async def report(self, number: int) -> Response:
        """Wait until the child of this number has ended, and give its exit status.

        Raises:
            ChannelClosed: The server has gone.
        """
        return await self._control.receive(number)

    async def describe_end(self) -> str:
        """Say how the server itself ended."""
        return f"its fork server has gone: {describe_exit(await _exit_status(self._process))}"

    async def aclose(self) -> None:
        """End the server, and with it every child."""
        self._control.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._wait)

    def _wait(self) -> None:
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ChildProcess:
    """A child, seen from the job."""

    __slots__ = ("_is_killed", "_lock", "_number", "_server", "_status", "is_lost", "output")

    def __init__(self, server: ForkServer, number: int, output: Output) -> None:
        self._server = server
        self._number = number
        self._lock = anyio.Lock()
        self._status: str | None = None
        self._is_killed = False
        self.output = output
        self.is_lost = False
        """Whether somebody was told that it ended too early."""

    async def wait(self) -> str:
        """Wait until the child has ended and nothing is left of it, and say how it ended."""
        async with self._lock:
            if self._status is None:
                self._status = await self._report()
        return self._status

    async def _report(self) -> str:
        try:
            response = await self._server.report(self._number)
        except ChannelClosed:
            return await self._server.describe_end()
        if response.failure is not None:
            return str(rebuild(response.failure))
        return describe_exit(decode(response.payload), is_expected=self._is_killed)

    def kill(self) -> None:
        """Have the child killed, and whatever it started."""
        self._is_killed = True
        self._server.kill(self._number)


def allow_more_files() -> bool:
    """Double the number of files that this process may open, up to the limit that the system set for it.

    Returns:
        Whether more may be opened now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = 2 * soft if hard == resource.RLIM_INFINITY else min(2 * soft, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
    except (ValueError, OSError):  # some systems name no limit, and have one
        return False
    return more > soft


def describe_exit(status: int | None, *, is_expected: bool = False) -> str:
    """Say how a process ended, by its exit status as `subprocess` gives it."""
    if status is None:
        return "it does not answer"
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        name = f"signal {-status}"
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" and not is_expected else "")


def _launch() -> tuple[Channel, subprocess.Popen[bytes]]:
    """Start a fresh Python with one end of a socket as its standard input.

    Its own session keeps the terminal's Ctrl-C from it: the job decides what ends, and in which order. The path is set
    in code, since what the job can import may come from changes to `sys.path` that no variable tells of.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from hud_local.process.server import main; main()"
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdin=theirs.fileno(), start_new_session=True)  # noqa: S603  our own code
    return Channel(ours), process


async def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """Give the exit status of a process whose socket is closed, which happens a moment before it has ended."""
    try:
        return await anyio.to_thread.run_sync(process.wait, REPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end_now(process: subprocess.Popen[bytes], control: Channel) -> None:
    control.close()
    process.kill()
    process.wait()
