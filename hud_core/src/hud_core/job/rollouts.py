"""One rollout: attempts until there is a score or none is left, and the record of how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from hud_core.errors import Cause
from hud_core.job.attempt import Attempt, Failure
from hud_core.model.events import AttemptFailed, LogLine
from hud_core.model.rollout import Attempt as FailedAttempt
from hud_core.model.rollout import Fingerprint, Rollout, Status
from hud_core.trace import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.environment.session import ToolFilter
    from hud_core.interfaces import Backend
    from hud_core.job.contestants import Contestant
    from hud_core.job.grading import Grading
    from hud_core.job.plan import JobSpec, Unit
    from hud_core.job.watch import Watch
    from hud_core.metering.meter import RolloutMeter
    from hud_core.model.events import Event


class RolloutRun:
    """Runs one rollout.

    Args:
        unit: What to run.
        rollout_id: The rollout's id.
        job_id: The id of its job.
        contestant: Who attempts it.
        fingerprint: What the result will depend on, where that is recorded.
        publish: Told of each event, for sinks.
        meter: Counts what the rollout spends.
        grading: What the job's graders share.
    """

    __slots__ = (
        "attempt",
        "contestant",
        "failed",
        "fingerprint",
        "grading",
        "job_id",
        "recorder",
        "rollout_id",
        "started",
        "unit",
    )

    def __init__(
        self,
        unit: Unit,
        rollout_id: str,
        job_id: str,
        contestant: Contestant,
        *,
        fingerprint: Fingerprint | None,
        publish: Callable[[Event], None] | None,
        meter: RolloutMeter,
        grading: Grading,
    ) -> None:
        self.unit: Unit = unit
        self.rollout_id: str = rollout_id
        self.job_id: str = job_id
        self.contestant: Contestant = contestant
        self.fingerprint: Fingerprint | None = fingerprint
        self.grading: Grading = grading
        self.recorder: Recorder = Recorder(rollout_id, publish, meter)
        self.failed: tuple[FailedAttempt, ...] = ()
        self.attempt: Attempt | None = None
        self.started: float = time.time()

    async def run(
        self, spec: JobSpec, backend: Backend, shown: ToolFilter, watch: Watch, scope: anyio.CancelScope
    ) -> Rollout:
        """Attempt the rollout until it has a score, no attempt is left, or the time that it may take is over.

        Raises:
            CancelledError: The scope, or one around it, was cancelled; `cancelled` gives the record then.
        """
        seconds = spec.rollout_budget.seconds
        if seconds is None:
            return await self._attempts(spec, backend, shown, watch, scope)
        with anyio.CancelScope(deadline=anyio.current_time() + seconds), anyio.CancelScope() as inner:
            return await self._attempts(spec, backend, shown, watch, inner)
        if inner.cancel_called:  # a phase that took too long, and not the whole
            return self.cancelled()[0]
        return self.over_budget(f"the rollout took longer than the {seconds:g} s that it may take")

    def over_budget(self, reason: str) -> Rollout:
        """Give the record of a rollout that was cancelled because a budget is spent."""
        attempt = self.attempt
        if attempt is not None and attempt.evaluation is not None:
            return self._scored(attempt)
        phase = None if attempt is None else attempt.phase
        return self._record(status=Status.INVALID, cause=Cause.BUDGET, phase=phase, error=reason)

    async def _attempts(
        self, spec: JobSpec, backend: Backend, shown: ToolFilter, watch: Watch, scope: anyio.CancelScope
    ) -> Rollout:
        """Attempt the rollout until it has a score or no attempt is left.

        Raises:
            CancelledError: The scope, or one around it, was cancelled; `cancelled` gives the record then.
        """
        while True:
            self.started = time.time()
            attempt = Attempt(
                self.unit.task,
                backend,
                self.recorder,
                scope,
                timeouts=spec.timeouts,
                grading=self.grading,
                label=self.unit.label,
            )
            self.attempt = attempt
            watch.add(attempt)
            try:
                failure = await attempt.run(
                    self.contestant.for_task(self.unit.task),
                    shown,
                    max_steps=spec.max_steps,
                    seed=None if spec.seed is None else spec.seed + self.unit.repeat,
                    number=len(self.failed) + 1,
                )
            finally:
                watch.remove(attempt)
            if failure is None:
                return self._scored(attempt)
            wait = spec.retries.wait(len(self.failed) + 1, failure.verdict, failure.error)
            self._note(failure, wait)
            if wait is None:
                return self._invalid(attempt, failure)
            self._remember(failure)
            await anyio.sleep(wait)

    def cancelled(self) -> tuple[Rollout, bool]:
        """Give the record of a rollout that was cancelled, and whether it ended: its own deadline ended it."""
        attempt = self.attempt
        if attempt is None or not attempt.is_expired:
            return self._record(status=Status.INVALID, cause=Cause.CANCELLED, error="the job was stopped"), False
        if attempt.evaluation is not None:  # only the teardown was late
            self.recorder.add(_late_teardown(self.rollout_id))
            return self._scored(attempt), True
        failure = attempt.failure or attempt.late()
        self._note(failure, None)
        return self._invalid(attempt, failure), True

    def _note(self, failure: Failure, wait: float | None) -> None:
        self.recorder.add(
            AttemptFailed(
                rollout=self.rollout_id,
                attempt=len(self.failed) + 1,
                cause=failure.verdict.cause,
                phase=failure.phase,
                error=failure.text,
                time=time.time(),
                retry_in=wait,
            )
        )

    def _remember(self, failure: Failure) -> None:
        attempt = FailedAttempt(
            cause=failure.verdict.cause,
            phase=failure.phase,
            error=failure.text,
            seconds=time.time() - self.started,
        )
        self.failed = (*self.failed, attempt)

    def _scored(self, attempt: Attempt) -> Rollout:
        evaluation, answer = attempt.evaluation, attempt.answer
        assert evaluation is not None  # noqa: S101  an attempt without failure was graded
        assert answer is not None  # noqa: S101
        return self._record(
            status=Status.SCORED,
            stop_reason=answer.stop_reason,
            reward=evaluation.reward,
            evaluation=evaluation,
            answer=answer,
        )

    def _invalid(self, attempt: Attempt, failure: Failure) -> Rollout:
        return self._record(
            status=Status.INVALID,
            cause=failure.verdict.cause,
            phase=failure.phase,
            error=failure.text,
            answer=attempt.answer,
        )

    def _record(self, **outcome: Any) -> Rollout:
        unit, contestant = self.unit, self.contestant
        return Rollout(
            id=self.rollout_id,
            job_id=self.job_id,
            group_id=self.rollout_id.rpartition("/")[0],
            task=unit.label,
            task_index=unit.index,
            agent=contestant.name,
            sees_solution=contestant.sees_solution,
            variant=contestant.variant,
            repeat=unit.repeat,
            usage=self.recorder.usage,
            started=self.started,
            seconds=time.time() - self.started,
            attempts=self.failed,
            fingerprint=self.fingerprint,
            **outcome,
        )


def _late_teardown(rollout: str) -> LogLine:
    text = "teardown took too long and was given up"
    return LogLine(rollout=rollout, text=text, time=time.time(), source="teardown")
