"""A transport for the SDK's client: a server in a process of its own, spoken to over its stdin and stdout.

The SDK has one, too. This one keeps what a server writes to stderr for error messages, says how a process ended, takes
large messages in linear time, and never leaves a part of a server's process group behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from typing import TYPE_CHECKING

import anyio
from mcp import types
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from hud_core.trace import log_line
from hud_mcp.client.options import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from anyio.abc import ByteReceiveStream, Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

EXIT_SECONDS = 2.0
"""How long a server may take to end after its stdin is closed, and again after SIGTERM."""
KEPT_LINES = 20
"""Lines of stderr that error messages show."""
MAX_LINE = 2000
"""Characters of a line of stderr that are kept."""
MAX_LOGGED = 2000
"""Lines of stderr that go to the rollout's log."""


class StdioTransport:
    """Starts a server and speaks with it. Enter and leave it in one task.

    Args:
        name: What to call the server in the log.
        command: The program and its arguments.
        env: Variables beside the few that are safe to inherit.
        cwd: Where to start it.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, env: dict[str, str] | None = None, cwd: str | None = None
    ) -> None:
        self._name = name
        self._command = list(command)
        self._env = {**get_default_environment(), **(env or {})}
        self._cwd = cwd
        self._process: Process | None = None
        self._logged = 0
        self.stderr: deque[str] = deque(maxlen=KEPT_LINES)
        """The last lines that the server wrote to stderr, and what it wrote to stdout that is no message."""

    async def __aenter__(
        self,
    ) -> tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]:
        self._process = await anyio.open_process(
            self._command, env=self._env, cwd=self._cwd, start_new_session=True
        )  # no checkpoint from here to the task group: a cancellation would leave the process behind
        self._env = {}  # as for its opener: what was secret in it is the process's alone
        incoming, self._read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._receive, self._process, incoming)
        self._group.start_soon(self._send, self._process, outgoing)
        self._group.start_soon(self._keep_stderr, self._process)
        return self._read, self._write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        with anyio.CancelScope(shield=True):
            self._read.close()
            self._write.close()
            await self._stop()
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(kind, error, traceback)

    def fate(self) -> str:
        """Say how the process ended, and what it wrote last; empty while it lives and has written nothing."""
        code = self._process.returncode if self._process is not None else None
        parts = []
        if code is not None:
            parts.append(f"it was ended by signal {-code}" if code < 0 else f"it exited with code {code}")
        if self.stderr:
            parts.append("it wrote:\n  " + "\n  ".join(self.stderr))
        return "; ".join(parts)

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and self._process.returncode is not None

    async def ended(self) -> None:
        """Wait until the process has ended."""
        # It is looked at, not waited for: that would wait for its pipes, too, which a grandchild may hold open.
        while not self.has_ended:  # noqa: ASYNC110  there is no event to wait for
            await anyio.sleep(0.005)

    # --- the streams --------------------------------------------------------------------------------------------------

    async def _receive(self, process: Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        assert process.stdout is not None  # noqa: S101  opened with a pipe
        async with incoming:
            try:
                async for line in _Lines(process.stdout, MAX_MESSAGE, is_strict=True):
                    message = self._message(line)
                    if message is not None:
                        await incoming.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the rollout, or the process, has ended
            except ValueError as error:
                self._keep(f"(stdout) {error}")
        await _drain(process.stdout)  # so that a server that still writes can come to its end

    def _message(self, line: bytes) -> SessionMessage | None:
        if not line.strip():
            return None
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValidationError:
            self._keep(f"(stdout, not a message) {line[:MAX_LINE].decode(errors='replace')}")
            return None

    async def _send(self, process: Process, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
        assert process.stdin is not None  # noqa: S101  opened with a pipe
        async with outgoing:
            async for item in outgoing:
                data = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                try:
                    await process.stdin.send(data)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                    self._read.close()  # so that whoever waits for an answer learns that none will come
                    return

    async def _keep_stderr(self, process: Process) -> None:
        assert process.stderr is not None  # noqa: S101  opened with a pipe
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in _Lines(process.stderr, MAX_LINE):
                self._keep(line.decode(errors="replace").rstrip())

    def _keep(self, text: str) -> None:
        self.stderr.append(text[:MAX_LINE])
        self._logged += 1
        if self._logged <= MAX_LOGGED:
            log_line(text[:MAX_LINE], source=self._name)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """End the server as MCP asks, stdin first; then whatever of its process group is left."""
        process = self._process
        assert process is not None  # noqa: S101  it was entered
        assert process.stdin is not None  # noqa: S101  opened with a pipe
        with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with anyio.move_on_after(EXIT_SECONDS):
                await self.ended()
            if self.has_ended:
                break
            _signal_group(process.pid, number)
        _signal_group(process.pid, signal.SIGKILL)  # children that outlive it, and itself if it did not listen
        with anyio.move_on_after(EXIT_SECONDS):
            await process.aclose()  # reaps it


class _Lines:
    """Reads lines from a stream. No generator: one that is left behind half-read must be closed, and this must not.

    Args:
        stream: The stream.
        limit: Bytes of a line; a longer one is cut, or, with `is_strict`, a `ValueError`.
        is_strict: Whether a line must not be cut.
    """

    def __init__(self, stream: ByteReceiveStream, limit: int, *, is_strict: bool = False) -> None:
        self._stream = stream
        self._limit = limit
        self._is_strict = is_strict
        self._parts: list[bytes] = []
        self._size = 0
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            try:
                self._take(await self._stream.receive())
            except anyio.EndOfStream:
                if not self._size:
                    raise StopAsyncIteration from None
                self._take(b"\n")
        return self._ready.popleft()

    def _take(self, chunk: bytes) -> None:
        first, *rest = chunk.split(b"\n")
        self._add(first)
        for line in rest:
            self._ready.append(b"".join(self._parts))
            self._parts, self._size = [], 0
            self._add(line)

    def _add(self, part: bytes) -> None:
        if self._size + len(part) > self._limit and self._is_strict:
            msg = f"a message of more than {self._limit} bytes"
            raise ValueError(msg)
        if part and self._size < self._limit:
            self._parts.append(part)
            self._size += len(part)


async def _drain(stream: ByteReceiveStream) -> None:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        while True:
            await stream.receive()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
