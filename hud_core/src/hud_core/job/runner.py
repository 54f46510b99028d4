"""Runs a job: a fixed set of workers that take units from one stream, under one task group."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from hud_core.environment.session import ToolFilter
from hud_core.errors import Cause, HudError
from hud_core.job.backends import CLOSE_SECONDS, Backends
from hud_core.job.contestants import make_contestants
from hud_core.job.fingerprint import Decision, Fingerprints, compare
from hud_core.job.grading import Grading
from hud_core.job.plan import Unit, Units, rollout_id
from hud_core.job.result import Job
from hud_core.job.rollouts import RolloutRun
from hud_core.job.sinks import Sinks
from hud_core.job.watch import Watch
from hud_core.metering.cache import CallCache
from hud_core.metering.meter import JobMeter
from hud_core.metering.prices import Prices
from hud_core.model.events import JobFinished, JobStarted, RolloutFinished

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from hud_core.interfaces import Agent
    from hud_core.job.contestants import Contestant
    from hud_core.job.control import JobControl, Progress
    from hud_core.job.directory import Finished, RunDirectory
    from hud_core.job.plan import JobSpec
    from hud_core.model.rollout import Rollout

SYNC_SECONDS = 1.0
"""How often the run directory is synced, and the events of rollouts that are still running are written."""
TURN_SECONDS = 0.001
"""How long workers may go on without a wait before everything else has its turn."""


class Runner:
    """Runs one job. Use it once.

    Args:
        spec: What to run.
        control: Shows the progress and stops the job.
        job_id: The job's id.
    """

    def __init__(self, spec: JobSpec, control: JobControl, job_id: str) -> None:
        self.spec = spec
        self.control = control
        self.progress: Progress = control.progress
        self.job_id = job_id
        self.directory: RunDirectory | None = None
        """Where rollouts are kept, or None."""
        self.finished: dict[str, Finished] = {}
        """What an earlier run of the job finished, by id."""
        self.contestants: list[Contestant] = make_contestants(spec)
        self.meter: JobMeter = JobMeter(
            spec.kernel.meter,
            budget=spec.budget,
            rollout_budget=spec.rollout_budget,
            prices=Prices(spec.prices),
            cache=None if spec.cache is None else CallCache(spec.cache),
        )
        control.progress.meter = self.meter
        self._shown = ToolFilter(spec.allowed_tools, spec.disallowed_tools)
        self._sinks = Sinks(spec.sinks)
        self._publish = self._sinks.publish if spec.sinks else None
        self._watch = Watch(spec.timeouts)
        self._fingerprints = Fingerprints()
        self._records: dict[tuple[int, int, int], Rollout] = {}
        self._live: dict[str, RolloutRun] = {}
        self._backends = Backends(spec.kernel, spec.backend)
        self._judges: dict[str, Agent] = {}
        self._grading = Grading(spec.kernel, judges=self._judges)
        self._ids: set[str] = set()
        self._gave_way = 0.0
        self._warnings: list[str] = []
        self._units = Units(spec, len(self.contestants))
        self._workers = 0
        self._done = anyio.Event()
        """Set when all workers have ended."""

    async def run(self) -> Job:
        """Run every unit, and give what there is.

        Raises:
            RunDirectoryError: The run directory cannot be written; the job stops at once.
            HudError: The source of the tasks cannot be read.
        """
        self.progress.total = self._units.total
        try:
            async with anyio.create_task_group() as background:
                self._backends.tasks, self._backends.upcoming = background, self._upcoming
                self._sinks.start(background)
                background.start_soon(self._watch.run, name="watch")
                if self.directory is not None:
                    background.start_soon(self._keep_synced, self.directory, name="run directory")
                self._sinks.publish(self._job_started())
                try:
                    await self._run_workers()
                finally:
                    self._sinks.publish(self._job_finished())
                    await self._close()
                    background.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _only(group) from None
        return self._job()

    # --- units --------------------------------------------------------------------------------------------------------

    async def _run_workers(self) -> None:
        count = self.spec.max_concurrent
        if self.progress.total is not None:
            count = min(count, self.progress.total)
        async with anyio.create_task_group() as workers:
            self.control.bind(workers.cancel_scope)
            workers.start_soon(self._work, workers, count - 1, name="worker")
            if self.spec.budget.seconds is not None:
                await self._end_in(self.spec.budget.seconds, workers)

    def _upcoming(self) -> int:
        """Say how many rollouts are still to be begun."""
        if self._units.is_exhausted or self.meter.ended is not None:
            return 0
        total = self.progress.total
        return self.spec.max_concurrent if total is None else total - len(self._ids)

    async def _end_in(self, seconds: float, workers: TaskGroup) -> None:
        """End the job when its time is over, unless the workers end before."""
        with anyio.move_on_after(seconds):
            await self._done.wait()
            return
        self.meter.end(f"the job's time is over: {seconds:g} s")
        workers.cancel_scope.cancel()

    async def _work(self, workers: TaskGroup, more: int) -> None:
        """Take units until there are none, in a new cancel scope after each rollout that took too long.

        Each worker starts the next, which begins when this one first waits: rollouts that never wait need no others.
        """
        if more > 0:
            workers.start_soon(self._work, workers, more - 1, name="worker")
        self._workers += 1
        while not self._units.is_exhausted and self.meter.ended is None:
            with anyio.CancelScope() as scope:
                while not scope.cancel_called and (rollout := await self._next()) is not None:
                    try:
                        backend = self._backends.of(rollout.unit.task)
                        record = await rollout.run(self.spec, backend, self._shown, self._watch, scope)
                    except anyio.get_cancelled_exc_class():
                        self._interrupt(rollout)
                        raise
                    finally:
                        self.progress.running -= 1
                        del self._live[rollout.rollout_id]
                    self._finish(rollout, record)
        self.progress.total = self._units.total
        self._workers -= 1
        if not self._workers:
            self._done.set()

    async def _next(self) -> RolloutRun | None:
        """Begin the next rollout that is to be run; None when there is none."""
        rollout = None
        while rollout is None:
            if self.meter.ended is not None:
                return None
            if time.monotonic() - self._gave_way > TURN_SECONDS:
                await self._give_way()
            unit = await self._units.next()
            if unit is None:
                return None
            rollout = self._begin(unit)
        return rollout

    async def _give_way(self) -> None:
        """Let everything else have its turn, as is due now and then: a rollout that never waits gives none."""
        await anyio.lowlevel.checkpoint()
        self._gave_way = time.monotonic()

    def _begin(self, unit: Unit) -> RolloutRun | None:
        """Make the rollout of a unit; None when an earlier run has its score and what it depends on is the same."""
        contestant = self.contestants[unit.agent]
        name = rollout_id(unit, contestant.key, self._ids)
        fingerprint = self._fingerprints.of(unit.task, contestant.agent) if self.directory is not None else None
        earlier = self.finished.get(name)
        if earlier is not None and compare(earlier.fingerprint, fingerprint) is Decision.REUSE:
            self._keep(unit, earlier.rollout())
            self.progress.reused += 1
            return None
        rollout = RolloutRun(
            unit,
            name,
            self.job_id,
            contestant,
            fingerprint=fingerprint,
            publish=self._publish,
            meter=self.meter.rollout(unit.repeat),
            grading=self._grading,
        )
        self._live[name] = rollout
        self.progress.running += 1
        return rollout

    def _interrupt(self, rollout: RolloutRun) -> None:
        """Keep what there is of a rollout that was cancelled: its record, if its own deadline ended it."""
        record, has_ended = rollout.cancelled()
        if has_ended:
            self._finish(rollout, record)
        elif self.meter.ended is not None and not self.control.stopped:
            self._finish(rollout, rollout.over_budget(self.meter.ended))
        else:  # stopped on the way: not in the run directory, so that a resumed job runs it
            unit = rollout.unit
            self._records[unit.index, unit.agent, unit.repeat] = record

    def _finish(self, rollout: RolloutRun, record: Rollout) -> None:
        if self._publish is not None:
            self._publish(RolloutFinished(rollout=record.id, record=record, time=time.time()))
        if self.directory is not None:
            self.directory.append_events(rollout.recorder.pending)
            self.directory.append_rollout(record)
        self.progress.retried += len(record.attempts)
        self._keep(rollout.unit, record)

    def _keep(self, unit: Unit, record: Rollout) -> None:
        self._records[unit.index, unit.agent, unit.repeat] = record
        if record.reward is not None:
            self.progress.scored += 1
            self.progress.reward_sum += record.reward
        elif record.cause is not None:
            self.progress.causes[record.cause.value] += 1

    # --- around the units ---------------------------------------------------------------------------------------------

    async def _keep_synced(self, directory: RunDirectory) -> None:
        """Write the events of rollouts that are still running, and sync, every second or so."""
        while True:
            await anyio.sleep(SYNC_SECONDS)
            for rollout in list(self._live.values()):
                directory.append_events(rollout.recorder.pending)
                rollout.recorder.pending.clear()
            await anyio.to_thread.run_sync(directory.sync)

    async def _close(self) -> None:
        """Close sinks, backends and agents, each within a deadline, whatever happened."""
        await self._sinks.aclose()
        ours = [contestant.agent for contestant in self.contestants if contestant.is_ours]
        self._warnings += await self._backends.aclose([*ours, *self._judges.values()])
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._units.aclose()

    def _job_started(self) -> JobStarted:
        agents = tuple(contestant.key for contestant in self.contestants)
        return JobStarted(
            job=self.job_id, name=self.spec.name, agents=agents, time=time.time(), total=self.progress.total
        )

    def _job_finished(self) -> JobFinished:
        return JobFinished(
            job=self.job_id,
            time=time.time(),
            scored=self.progress.scored,
            invalid=sum(self.progress.causes.values()),
            mean=self.progress.mean,
            stopped=self._is_stopped,
            ended=self.meter.ended,
            usage=self.meter.purse.spent,
        )

    @property
    def _is_stopped(self) -> bool:
        """Whether rollouts are missing because the job was stopped, by somebody or by its budget."""
        has_missing = len(self._records) < (self.progress.total or math.inf) or Cause.BUDGET in self.progress.causes
        return self.control.stopped or (self.meter.ended is not None and has_missing)

    def _job(self) -> Job:
        records = [self._records[key] for key in sorted(self._records)]
        return Job(
            id=self.job_id,
            name=self.spec.name,
            rollouts=tuple(records),
            total=max(self.progress.total or 0, len(records)),
            directory=None if self.directory is None else self.directory.path,
            stopped=self._is_stopped,
            ended=self.meter.ended,
            reused=self.progress.reused,
            warnings=(*self._sinks.warnings, *self._warnings),
        )


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the one error that stopped the job; the group itself only where several unknown ones did."""
    errors = _leaves(group)
    known = [error for error in errors if isinstance(error, HudError)]
    return (known or errors)[0] if known or len(errors) == 1 else group


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
