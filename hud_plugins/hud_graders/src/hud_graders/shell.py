"""Shell commands that grade: run apart, with a deadline, and nothing left of them afterwards."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import ExitStack, suppress
from typing import IO, Any, ClassVar

import anyio
from attrs import frozen

from hud_core import GraderError
from hud_graders.base import Grader, Score

SECONDS = 600.0
"""How long a command may take by default."""
KEPT = 20_000
"""Characters of each output that are kept: the first half of them and the last."""
MOST = 64 << 20
"""Bytes that a command may print on one output; one that prints without end would fill the disk."""
LOOK_SECONDS = 0.5
"""How often the size of the outputs is looked at."""
END_SECONDS = 5.0
"""How long a killed command may take to be gone."""


@frozen(kw_only=True)
class Result:
    """How a command ended."""

    exit_code: int | None
    """None where it was killed at its deadline; negative where a signal ended it."""
    stdout: str
    stderr: str

    @property
    def timed_out(self) -> bool:
        """Whether it was killed at its deadline."""
        return self.exit_code is None


async def run_command(words: list[str], *, cwd: str | None, timeout_seconds: float, stdin: str = "") -> Result:
    """Run a command in a process group of its own, which is killed when the command ends, however it ends.

    Its outputs are files and not pipes: a background child that keeps them open is not waited for.

    Args:
        words: The program and its arguments.
        cwd: The folder to run it in; the current one by default.
        timeout_seconds: Seconds until it is killed.
        stdin: What it reads.

    Raises:
        GraderError: It cannot be started, or prints without end.
    """
    if cwd is not None and not await anyio.Path(cwd).is_dir():
        raise GraderError(f"cwd {cwd!r} is no folder (seen from {await anyio.Path.cwd()}); the command was not run")
    with ExitStack() as files:
        given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin.encode("utf-8", "surrogateescape"))
        given.seek(0)
        try:
            process = await anyio.open_process(
                words, cwd=cwd, stdin=given, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            raise GraderError(f"cannot run {words[0]}: {error.strerror}") from error
        exit_code = await _wait(process, timeout_seconds, (out, err))
        return Result(exit_code=exit_code, stdout=_read(out), stderr=_read(err))


async def _wait(process: anyio.abc.Process, seconds: float, outputs: tuple[IO[bytes], ...]) -> int | None:
    """Wait for a command's end, and see to it that nothing of its group lives on."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_limit, tasks.cancel_scope, outputs)
            with anyio.move_on_after(seconds) as deadline:
                await process.wait()
            tasks.cancel_scope.cancel()
    finally:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.move_on_after(END_SECONDS, shield=True):
            await process.wait()
            await process.aclose()
    if any(os.fstat(output.fileno()).st_size > MOST for output in outputs):
        raise GraderError(f"the command printed more than {MOST >> 20} MiB and was stopped")
    return None if deadline.cancelled_caught else process.returncode


async def _limit(scope: anyio.CancelScope, outputs: tuple[IO[bytes], ...]) -> None:
    while all(os.fstat(output.fileno()).st_size <= MOST for output in outputs):  # noqa: ASYNC110  no event
        await anyio.sleep(LOOK_SECONDS)
    scope.cancel()


def _read(file: IO[bytes]) -> str:
    """Give a command's output, without the middle of a long one."""
    size, room = os.fstat(file.fileno()).st_size, 4 * KEPT  # bytes of a character in UTF-8
    file.seek(0)
    if size <= 2 * room:
        return shorten(file.read().decode("utf-8", "replace"))
    head = file.read(room).decode("utf-8", "replace")
    file.seek(-room, os.SEEK_END)
    return shorten(head + file.read().decode("utf-8", "replace"))


def shorten(text: str) -> str:
    """Leave out the middle of a long text."""
    half = KEPT // 2
    return text if len(text) <= KEPT else f"{text[:half]}\n[... left out ...]\n{text[-half:]}"


async def run_bash(command: str, cwd: str | None, timeout_seconds: float | None, stdin: str = "") -> Score:
    """Run a shell command: 1.0 where its exit code is 0, else 0.0, with how it ended.

    Raises:
        GraderError: It cannot be run.
    """
    seconds = SECONDS if timeout_seconds is None else timeout_seconds
    result = await run_command(["/bin/bash", "-lc", command], cwd=cwd, timeout_seconds=seconds, stdin=stdin)
    told: dict[str, Any] = {"exit_code": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}
    return float(result.exit_code == 0), {**told, "timed_out": True} if result.timed_out else told


class BashGrader(Grader):
    """Runs a shell command: 1.0 where its exit code is 0, else 0.0.

    ``await BashGrader.grade(weight=1.0, command="pytest -q", cwd="/work")``. The metadata has ``exit_code``, ``stdout``
    and ``stderr``, the middle of long ones left out; ``timed_out`` is there, and the exit code None, where the command
    was killed at its deadline. Whatever it left running is killed when it ends.
    """

    name: ClassVar[str] = "BashGrader"

    @classmethod
    async def compute_score(
        cls, *, command: str, cwd: str | None = None, timeout_seconds: float | None = None
    ) -> Score:
        """Run the command.

        Args:
            command: For ``/bin/bash -lc``.
            cwd: The folder to run it in; the current one by default.
            timeout_seconds: Seconds until it is killed, 600 by default.

        Raises:
            GraderError: There is no such folder, or no bash.
        """
        return await run_bash(command, cwd, timeout_seconds)
