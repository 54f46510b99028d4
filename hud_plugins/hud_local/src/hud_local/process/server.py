"""A fork server: imports the files that declare an environment once, and forks a child for each rollout.

It has one thread and no event loop, since neither survives a fork. Its standard input is the socket to the job, over
which come requests and, with them, the file descriptors that a child gets; the response to a request for a child is
sent when that child has ended. When the job is gone, the children get a moment to end by themselves, then are killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

import msgspec

from hud_core.errors import BackendError
from hud_local.process.failures import capture
from hud_local.process.frames import FrameReader, pack_frame
from hud_local.process.loading import Source, import_sources
from hud_local.process.messages import Request, Response, decode, decode_request, encode
from hud_local.process.orphans import Children, adopt_orphans, die_with_parent, load_prctl
from hud_local.process.template import FDS, Template
from hud_local.process.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud_core.environment.environment import Environment
    from hud_local.process.messages import Failure

TERM_SECONDS = 1.0
"""How long a child has between SIGTERM and SIGKILL."""
ORPHAN_SECONDS = 3.0
"""How long children have to end by themselves when the job is gone."""
EXIT_SECONDS = 5
"""How long the server itself may take to end, with what the environment registered with `atexit`."""
_CHUNK = 1 << 16
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def main() -> NoReturn:
    """Run a fork server on the socket that is standard input."""
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as null:  # noqa: PTH123  as short as it gets
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)  # what environments print is talk, not data
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # with stderr's lines, in their order
    faulthandler.enable()  # a crash leaves its stack in the child's output
    Server(control).run()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(EXIT_SECONDS)  # threads of the environment could hold the exit up, and nobody else is left to end it
    sys.exit()


class Server:
    """The fork server's loop. Single-threaded, and only `_control` is shared with the job."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._reader = FrameReader()
        self._outgoing = bytearray()
        self._fds: list[int] = []
        self._environments: dict[str, Environment] = {}
        self._children: dict[int, int] = {}
        """Process ids, and the numbers of the requests for them."""
        self._deadlines: dict[int, float] = {}
        """When children are to be killed."""
        self._is_orphaned = False
        self._prctl = load_prctl()
        self._pid = os.getpid()
        self._poll = select.poll()

    def run(self) -> None:
        """Import what the first request names, then serve until the job is gone and the children have ended."""
        if not self._import():
            return
        warm_up()
        self._family = Children()
        self._others = self._family.pids()  # what the environment started while it was imported stays
        adopt_orphans(self._prctl)
        self._watch()
        self._template = Template()
        gc.collect()
        gc.freeze()  # collections in children leave what is here alone, so that its memory stays shared
        while self._children or not self._is_orphaned:
            self._turn()

    def _import(self) -> bool:
        """Import the environment and say which ones there are now, or what is wrong."""
        request = next((request for request in self._iter_requests()), None)
        if request is None:
            return False
        sources, sys.argv[:] = msgspec.msgpack.decode(request.payload, type=tuple[list[Source], list[str]])
        try:
            self._environments = import_sources(sources)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a module raises, the job must hear of it
            self._respond(request.number, failure=capture(error, "import"))
            return False
        else:
            self._respond(request.number, list(self._environments))
            return True
        finally:
            self._flush()

    def _watch(self) -> None:
        wake, waker = os.pipe()
        self._fds_of_server = (wake, waker)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # writes to `waker`, which is what counts
        self._control.setblocking(False)  # noqa: FBT003  the name says it
        self._poll.register(wake, select.POLLIN)

    def _turn(self) -> None:
        """Wait for something to do and do it."""
        if not self._is_orphaned:
            self._poll.register(self._control, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        ready = [fd for fd, _ in self._poll.poll(self._patience())]
        if self._control.fileno() in ready:
            for request in self._iter_requests():
                self._do(request)
        if self._fds_of_server[0] in ready:
            os.read(self._fds_of_server[0], _CHUNK)
            self._reap()
        self._kill_overdue()
        self._flush()

    def _patience(self) -> float | None:
        """How many milliseconds there are until a child has to be killed."""
        if not self._deadlines:
            return None
        return max(0.0, min(self._deadlines.values()) - time.monotonic()) * 1000 + 1

    # --- the job ------------------------------------------------------------------------------------------------------

    def _iter_requests(self) -> Iterator[Request]:
        """Read what has come, with its file descriptors; notice when the job is gone."""
        try:
            chunk, fds, _, _ = socket.recv_fds(self._control, _CHUNK, 8 * FDS, _CLOSE_ON_EXEC)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk, fds = b"", []
        self._fds += fds
        if not chunk:
            self._orphan()
        for payload in self._reader.feed(chunk):
            yield decode_request(payload)

    def _orphan(self) -> None:
        """The job is gone: children notice too and tear down, but not for ever."""
        self._is_orphaned = True
        with contextlib.suppress(KeyError):
            self._poll.unregister(self._control)
        for pid in self._children:
            self._deadlines.setdefault(pid, time.monotonic() + ORPHAN_SECONDS)

    def _respond(self, number: int, payload: object = None, failure: Failure | None = None) -> None:
        self._outgoing += pack_frame(encode(Response(number, msgspec.Raw(encode(payload)), failure)))

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                while self._outgoing:
                    del self._outgoing[: self._control.send(self._outgoing)]
            except ConnectionError:  # nobody is left to read
                self._outgoing.clear()

    def _do(self, request: Request) -> None:
        if request.method == "fork":
            fds, self._fds = self._fds[:FDS], self._fds[FDS:]
            self._fork(request, fds)
        elif request.method == "kill":
            for pid in [pid for pid, number in self._children.items() if number == request.number]:
                _signal_group(pid, signal.SIGTERM)
                self._deadlines[pid] = time.monotonic() + TERM_SECONDS

    # --- the children -------------------------------------------------------------------------------------------------

    def _fork(self, request: Request, fds: list[int]) -> None:
        try:
            self._template.fill(fds)
            for fd in fds:
                os.close(fd)
            pid = os.fork()
        except OSError as error:
            message = f"cannot fork: {error.strerror}; run fewer rollouts at once, or raise the limit"
            self._respond(request.number, failure=capture(BackendError(message), "fork"))
        else:
            if pid == 0:
                self._become_child(request)
            self._children[pid] = request.number
            with contextlib.suppress(OSError):  # the child does so too; whoever comes first
                os.setpgid(pid, pid)
        self._template.empty()

    def _become_child(self, request: Request) -> NoReturn:
        """Serve a session in this process, which is the child now, and end it."""
        status = 1
        try:
            self._leave()
            name, seed = decode(request.payload)
            self._template.child.serve(self._environments[name], seed)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001  nothing may run on into the server's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(status)  # no `atexit`: what is registered there is the server's

    def _leave(self) -> None:
        """Give up in the child what is the server's, and be the head of a process group that can be killed as one."""
        os.setpgid(0, 0)
        die_with_parent(self._prctl, self._pid, signal.SIGKILL)
        adopt_orphans(self._prctl)
        signal.set_wakeup_fd(-1)
        os.dup2(self._template.output, 1)
        os.dup2(self._template.output, 2)
        for fd in (*self._fds, *self._fds_of_server, self._template.output):
            os.close(fd)
        self._control.close()

    def _reap(self) -> None:
        """Report the children that have ended, when nothing of them is left."""
        while ended := self._next_ended():
            pid, status = ended
            number = self._children.pop(pid, None)
            self._deadlines.pop(pid, None)
            if number is not None:
                self._respond(number, os.waitstatus_to_exitcode(status))
        for pid in self._family.pids() - self._others - self._children.keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # a daemon that a child left behind; its own end comes up here again

    def _next_ended(self) -> tuple[int, int] | None:
        """Reap a process that has ended, with its process group; give its id and status."""
        try:
            if hasattr(os, "waitid"):  # the group first: while the zombie is there, nobody else gets its number
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                pid, status = (ended.si_pid, None) if ended else (0, None)
            else:
                pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid in self._children:
            _signal_group(pid, signal.SIGKILL)
        if pid == 0:
            return None
        return os.waitpid(pid, 0) if status is None else (pid, status)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for pid in [pid for pid, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[pid]
            _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
