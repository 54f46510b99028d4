"""Running a program to its end: in a process group of its own, of which nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from attrs import define, field, frozen

from hud_core import trace
from hud_core.errors import AgentError, ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from anyio.abc import ByteReceiveStream, ByteSendStream, Process

LINE_LENGTH = 2_000
"""Characters of a line of output that are kept in the trace."""
MAX_LINES = 10_000
"""Lines of each of the two outputs that are kept in the trace."""
MAX_LINE = 65_536
"""Bytes of a line that are looked at for the trace."""
GRACE = 2.0
"""Seconds that a program has to end after it was asked to."""
DRAIN = 2.0
"""Seconds for what is left in the pipes of a program that has ended: one that left the group may hold them open."""
POLL = 0.02


@frozen(kw_only=True)
class Finished:
    """How a program ended."""

    code: int | None
    """The exit code, negative for a signal; None where it took too long."""
    stdout: bytes
    stderr: bytes


@define
class _Output:
    """What a program prints on one stream: kept whole up to a limit, and told line by line."""

    name: str
    limit: int
    clean: Callable[[str], str]
    data: bytearray = field(factory=bytearray)
    size: int = 0
    """How many bytes there were in all."""
    _line: bytearray = field(factory=bytearray)
    _length: int = 0
    _lines: int = 0

    @property
    def is_too_much(self) -> bool:
        """Whether there was more than may be."""
        return self.size > self.limit

    def take(self, chunk: bytes) -> None:
        """Keep what was read."""
        self.data += chunk[: self.limit - len(self.data)]
        self.size += len(chunk)
        first, *rest = chunk.split(b"\n")
        self._add(first)
        for part in rest:
            self.end_line()
            self._add(part)

    def _add(self, part: bytes) -> None:
        self._line += part[: MAX_LINE - len(self._line)]
        self._length += len(part)

    def end_line(self) -> None:
        """Tell the line that has come to its end; empty ones are passed over."""
        line, length = self._line, self._length
        self._line, self._length = bytearray(), 0
        if not line.strip() or self._lines > MAX_LINES:
            return
        self._lines += 1
        text = self.clean(line.decode("utf-8", "replace")).rstrip()
        if self._lines > MAX_LINES:
            text = f"({self.name} goes on; {MAX_LINES} lines are kept)"
        elif len(text) > LINE_LENGTH:
            text = f"{text[:LINE_LENGTH]}... ({length} bytes)"
        trace.log_line(text, source="cli", stream=self.name)


async def run_program(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    stdin: bytes,
    limit: int,
    seconds: float | None,
    clean: Callable[[str], str],
) -> Finished:
    """Run a program, and tell what it prints as lines of log.

    Args:
        command: The program and its arguments.
        env: Its whole environment.
        cwd: Where it runs.
        stdin: What it reads.
        limit: How many bytes it may print on each of its two outputs.
        seconds: Seconds after which it is ended; None lets it run.
        clean: Takes secrets out of a line.

    Raises:
        ConfigError: There is no such program.
        AgentError: It cannot be run, or prints too much.
    """
    outputs = _Output("stdout", limit, clean), _Output("stderr", limit, clean)
    code: int | None = None
    async with _started(command, env=env, cwd=cwd) as process:
        with anyio.move_on_after(seconds):
            await _converse(process, stdin, outputs)
            code = process.returncode
    for output in outputs:
        output.end_line()
        if output.is_too_much:
            raise AgentError(f"{command[0]!r} printed more than {limit} bytes on {output.name}; raise max_output")
    return Finished(code=code, stdout=bytes(outputs[0].data), stderr=bytes(outputs[1].data))


@contextlib.asynccontextmanager
async def _started(command: Sequence[str], *, env: Mapping[str, str], cwd: str) -> AsyncIterator[Process]:
    """Start a program, and end its whole process group when the block is left."""
    try:
        process = await anyio.open_process(list(command), env=env, cwd=cwd, start_new_session=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(_missing(command[0], Path(cwd))) from error
    except OSError as error:  # no permission, or arguments that are too long
        raise AgentError(f"{command[0]!r} cannot be run: {error}") from error
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def _missing(program: str, folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r} to run {program!r} in; make it, or leave workdir out"
    return f"there is no program {program!r}; install it, or say with command= what to run"


async def _end(process: Process) -> None:
    """End the group, politely at first, and reap the process."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await _exited(process)
    _signal(process.pid, signal.SIGKILL)  # what the program itself has started, too
    with anyio.move_on_after(GRACE):
        await _exited(process)
        await process.aclose()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # there is nobody left
        os.killpg(group, number)


async def _converse(process: Process, stdin: bytes, outputs: tuple[_Output, _Output]) -> None:
    """Write what it reads and read what it writes, until it has ended."""
    assert process.stdin is not None  # noqa: S101  all three are pipes
    assert process.stdout is not None  # noqa: S101  as above
    assert process.stderr is not None  # noqa: S101  as above
    async with anyio.create_task_group() as streams:
        streams.start_soon(_write, process.stdin, stdin)
        async with anyio.create_task_group() as reading:
            for stream, output in zip((process.stdout, process.stderr), outputs, strict=True):
                reading.start_soon(_read, stream, output, process)
            await _exited(process)
            _signal(process.pid, signal.SIGKILL)
            reading.cancel_scope.deadline = anyio.current_time() + DRAIN
        streams.cancel_scope.cancel()


async def _exited(process: Process) -> None:
    # It is looked at, not waited for: that would wait for its pipes, too, which a grandchild may hold open.
    while process.returncode is None:  # noqa: ASYNC110  there is no event to wait for
        await anyio.sleep(POLL)


async def _write(stream: ByteSendStream, data: bytes) -> None:
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):  # it need not read
        if data:
            await stream.send(data)
        await stream.aclose()


async def _read(stream: ByteReceiveStream, output: _Output, process: Process) -> None:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while not output.is_too_much:
            output.take(await stream.receive())
        _signal(process.pid, signal.SIGKILL)
