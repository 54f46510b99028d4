"""A server in a process of its own, of whose process group nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import anyio
from mcp.client.stdio import get_default_environment

from hud_core.templates import hidden
from hud_mcp.client.lines import Peer, Pipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import Process

EXIT_SECONDS = 2.0
"""How long a server may take to end after its stdin is closed, and again after SIGTERM."""


class ProcessPeer(Peer):
    """A process.

    Args:
        command: The program and its arguments.
        env: Variables beside the few that are safe to inherit.
        cwd: Where to start it.
        secrets: Variables of this process whose values are not shown of what it writes.
    """

    def __init__(
        self, command: Sequence[str], *, env: dict[str, str], cwd: str | None = None, secrets: Sequence[str] = ()
    ) -> None:
        self._command = list(command)
        self._env = {**get_default_environment(), **env}
        self._cwd = cwd
        self._secrets = secrets
        self._process: Process | None = None

    async def start(self) -> Pipes:
        """Start the process, in a process group of its own."""
        process = await anyio.open_process(self._command, env=self._env, cwd=self._cwd, start_new_session=True)
        self._process = process
        self._env = {}  # as for its opener: what was secret in it is the process's alone
        assert process.stdin is not None  # noqa: S101  all three are opened as pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        return Pipes(stdin=process.stdin, stdout=process.stdout, stderr=process.stderr)

    async def stop(self) -> None:
        """End the server as MCP asks, stdin first; then whatever of its process group is left."""
        process = self._process
        assert process is not None  # noqa: S101  it was started
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

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and self._process.returncode is not None

    async def ended(self) -> None:
        """Wait until the process has ended."""
        # It is looked at, not waited for: that would wait for its pipes, too, which a grandchild may hold open.
        while not self.has_ended:  # noqa: ASYNC110  there is no event to wait for
            await anyio.sleep(0.005)

    def fate(self) -> str:
        """Say how the process ended; empty while it lives."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return ""
        return f"it was ended by signal {-code}" if code < 0 else f"it exited with code {code}"

    def shown(self, line: str) -> str:
        """Hide what is secret in a line that the process wrote."""
        return hidden(line, self._secrets)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
