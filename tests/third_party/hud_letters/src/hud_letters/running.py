"""A backend and an executor."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from hud_core import Backend, ConfigError, Environment, Executor, JobControl, JobHandle
from hud_core.job import run_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_core import EnvRef, Job, Session
    from hud_core.job.plan import JobSpec
    from hud_core.model.task import Recipe


class Fresh(Backend):
    """Opens environments of this process."""

    def __init__(self) -> None:
        self._initialized: list[Environment] = []

    @asynccontextmanager
    async def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AsyncIterator[Session]:
        """Open a session, and close its scenario however it ends."""
        if not isinstance(ref, Environment):
            msg = f"backend 'fresh' opens environments of this process, got {ref!r}"
            raise ConfigError(msg)
        if ref not in self._initialized:
            self._initialized.append(ref)
            for function in ref.on_initialize:
                function()
        session = ref.session()
        try:
            yield session
        finally:
            with anyio.move_on_after(5, shield=True):
                await session.aclose()


class Here(Executor):
    """Runs the job inside the first `wait`."""

    async def submit(self, job: JobSpec) -> JobHandle:
        """Keep the job until somebody waits for it."""
        return Waiting(job)


class Waiting(JobHandle):
    """A job that runs while it is waited for."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._control = JobControl()
        self._job: Job | None = None

    async def wait(self) -> Job:
        """Run the job, once."""
        if self._job is None:
            self._job = await run_job(self._spec, self._control)
        return self._job

    async def cancel(self) -> None:
        """Stop; what has ended is kept."""
        self._control.stop()
