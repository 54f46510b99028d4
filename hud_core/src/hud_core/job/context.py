"""One rollout that the caller's own code drives."""

from __future__ import annotations

import math
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import anyio

from hud_core.environment.offers import OffersTools
from hud_core.environment.session import ToolFilter
from hud_core.errors import ConfigError, GraderError
from hud_core.job.attempt import Attempt, Failure, failure_of
from hud_core.job.contestants import for_task
from hud_core.job.grading import Grading
from hud_core.metering.meter import JobMeter
from hud_core.model.rollout import Rollout, Status
from hud_core.trace import Recorder, current_recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hud_core.environment.session import Toolbox
    from hud_core.interfaces import Agent, Backend
    from hud_core.job.limits import Timeouts
    from hud_core.kernel import Kernel
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer, Evaluation
    from hud_core.model.events import Event
    from hud_core.model.task import Task
    from hud_core.model.tools import Tool, ToolCall, ToolResult


class EvalContext(anyio.AsyncContextManagerMixin, OffersTools):
    """One rollout that the code in the ``with`` block drives: its prompt, its tools, its answer, its reward.

    The environment is set up on entering; on leaving, the last answer that was submitted is graded and everything is
    torn down. Enter, use and leave it in one task.

    Raises:
        RolloutError: On entering, when there is no prompt; on leaving, when grading failed.
    """

    def __init__(
        self,
        task: Task,
        *,
        backend: Backend,
        kernel: Kernel,
        timeouts: Timeouts,
        job_id: str = "",
        group_id: str = "",
        task_index: int = 0,
        index: int = 0,
        repeat: int = 0,
        variants: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        self.task = task
        self.trace_id: str = str(uuid.uuid4())
        self.job_id = job_id
        self.group_id: str = group_id or self.trace_id
        self.task_index = task_index
        self.index = index
        """The place among the rollouts of one `hud.eval`."""
        self.repeat = repeat
        self.variants: dict[str, Any] = dict(variants or {})
        """The parameters of this rollout, of those that are compared."""
        self.metadata: dict[str, Any] = {}
        self.reward: float | None = None
        """The graded reward, once the block has been left (or `grade` was called)."""
        self.error: BaseException | None = None
        self.result: Rollout | None = None
        """The rollout's record, once the block has been left."""
        self._tools: list[Tool] | None = None
        self._recorder = Recorder(self.trace_id, meter=JobMeter(kernel.meter).rollout(repeat))
        self._scope, self._inner = anyio.CancelScope(), anyio.CancelScope()
        self._attempt = Attempt(
            task, backend, self._recorder, self._scope, timeouts=timeouts, grading=Grading(kernel), label=task.label
        )
        self._timeouts = timeouts
        self._seed = seed
        self._started = time.time()

    # --- what the block reads -----------------------------------------------------------------------------------------

    @property
    def prompt(self) -> str:
        """The prompt's text."""
        return self.messages.text

    @property
    def messages(self) -> Prompt:
        """The prompt with its roles and images."""
        if self._attempt.prompt is None:
            msg = "there is no prompt before the block is entered"
            raise ConfigError(msg)
        return self._attempt.prompt

    @property
    def toolbox(self) -> Toolbox:
        """What an agent gets of this rollout."""
        return self._attempt.toolbox(ToolFilter())

    @property
    def answer(self) -> str | None:
        """The text that was submitted last."""
        return None if self._attempt.answer is None else self._attempt.answer.text

    @property
    def evaluation_result(self) -> Evaluation | None:
        """What grading gave."""
        return self._attempt.evaluation

    @property
    def events(self) -> list[Event]:
        """What has happened so far."""
        return list(self._recorder.pending)

    @property
    def success(self) -> bool:
        """Whether nothing has failed."""
        return self.error is None

    # --- what the block does ------------------------------------------------------------------------------------------

    def as_tools(self) -> list[Tool]:
        """List the tools, as they were when the block was entered or `list_tools` was last awaited.

        Raises:
            ConfigError: The block has not been entered.
        """
        if self._tools is None:
            msg = "the tools are not known before the block is entered"
            raise ConfigError(msg)
        return list(self._tools)

    async def list_tools(self) -> list[Tool]:
        """List the tools."""
        self._tools = await self.toolbox.list_tools()
        return self.as_tools()

    async def _called(self, call: ToolCall) -> ToolResult:
        return await self.toolbox.call_tool(call)

    async def submit(self, answer: Answer | str) -> None:
        """Give the answer; the last one is graded."""
        self._attempt.submit(answer)

    async def grade(self) -> Evaluation:
        """Grade the submitted answer now; leaving the block then only tears down.

        Raises:
            GraderError: Nothing was submitted, or the scenario gave no score.
            One that takes too long ends the block, which raises TimeoutError.
        """
        if self._attempt.evaluation is None:
            self._allow(self._timeouts.grade)
            await self._attempt.grade()
            self._allow(None)
        evaluation = self._attempt.evaluation
        assert evaluation is not None  # noqa: S101  `Attempt.grade` sets it or raises
        self.reward = evaluation.reward
        return evaluation

    async def drive(self, agent: Agent, *, max_steps: int = 10) -> Rollout:
        """Let an agent attempt the task, and grade its answer: what ``await agent.run(ctx)`` does."""
        answer = self._attempt.ask(for_task(agent, self.task), ToolFilter(), max_steps=max_steps)
        self._attempt.submit(await answer)
        await self.grade()
        return self._record()

    def fail(self, error: BaseException) -> None:
        """Take note of what ended the rollout, where nobody reraises it."""
        self.error = self.error or error
        self.result = self._record()

    # --- the block ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        token = current_recorder.set(self._recorder)
        try:
            with self._scope as scope:
                async with self._opened(scope), self._begun():
                    yield self
            self._check_time(scope)
        except BaseException as error:
            self.error = error
            raise
        finally:
            current_recorder.reset(token)
            self.result = self._record()

    def _check_time(self, scope: anyio.CancelScope) -> None:
        if scope.cancelled_caught and self._attempt.session is None:
            raise self._attempt.late().error

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[None]:
        """Begin the scenario, and end it after the block, in one cancel scope: see `Attempt.end`."""
        is_late = False
        with self._inner as inner:
            try:
                self._allow(self._timeouts.setup)
                await self._attempt.setup()
                await self.list_tools()
                self._allow(None)
                yield
                if self._attempt.answer is not None:
                    await self.grade()
            finally:
                is_late = inner.cancel_called
                self._allow(self._timeouts.close)
                await self._attempt.end(inner)
        if is_late:
            raise self._attempt.late().error

    def _allow(self, seconds: float | None) -> None:
        """Set how long the phase that begins may take; None is for ever."""
        self._inner.deadline = math.inf if seconds is None else anyio.current_time() + seconds

    @asynccontextmanager
    async def _opened(self, scope: anyio.CancelScope) -> AsyncIterator[None]:
        """Open the environment, and tear it down within the deadline for it, whatever happened."""
        scope.deadline = anyio.current_time() + (self._timeouts.open or math.inf)
        await self._attempt.open(seed=self._seed)
        scope.deadline = math.inf
        cancellation: BaseException | None = None
        try:
            yield
        except anyio.get_cancelled_exc_class() as error:
            cancellation = error
            raise
        finally:
            scope.deadline = anyio.current_time() + self._timeouts.close
            await self._attempt.close(cancellation)

    def _record(self) -> Rollout:
        failure = self._failure()
        evaluation = self._attempt.evaluation
        return Rollout(
            id=self.trace_id,
            job_id=self.job_id,
            group_id=self.group_id,
            task=self.task.label,
            task_index=self.task_index,
            agent="eval",
            variant=self.variants,
            repeat=self.repeat,
            status=Status.INVALID if failure else Status.SCORED,
            stop_reason=None if self._attempt.answer is None else self._attempt.answer.stop_reason,
            cause=failure.verdict.cause if failure else None,
            phase=failure.phase if failure else None,
            error=failure.text if failure else None,
            reward=None if failure or evaluation is None else evaluation.reward,
            evaluation=evaluation,
            answer=self._attempt.answer,
            usage=self._recorder.usage,
            started=self._started,
            seconds=time.time() - self._started,
        )

    def _failure(self) -> Failure | None:
        if self.error is not None:
            return failure_of(self.error, self._attempt.phase)
        if self._attempt.evaluation is None:
            return failure_of(GraderError("nothing was submitted, so there is nothing to grade"), "grade")
        return None
