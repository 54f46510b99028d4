"""One attempt at a rollout: open, setup, agent, grade, close."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio
import attrs

from hud_core.environment.session import Toolbox, ToolFilter
from hud_core.environment.signature import to_json_data
from hud_core.errors import AgentError, BackendError, ConfigError, GraderError, Verdict, describe, verdict_for
from hud_core.failures import place_of
from hud_core.job.grading import Grading, current_grading, grade_with
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.events import Answered, Graded, LogLine, Prompted, RolloutStarted
from hud_core.trace import current_recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from hud_core.interfaces import Agent, Backend, Session
    from hud_core.job.limits import Timeouts
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.task import Task, TaskAgentConfig
    from hud_core.trace import Recorder


class Failure(NamedTuple):
    """Why an attempt has no score."""

    verdict: Verdict
    phase: str
    text: str
    error: BaseException


class Attempt:
    """The phases of one attempt, all of them in one task: `open`, `setup`, `ask`, `grade`, `close`.

    The deadline moves with the phase; a `Watch` sees to it, and calls `expire`. The environment is opened and closed in
    the cancel scope of the caller; setup, agent and grade run in one of their own inside it, and so does the end of
    the scenario. So an environment may hold a task group open from beginning to end, as connections do, and so may a
    scenario; a phase that is cancelled leaves them to be closed.

    Args:
        task: What is attempted.
        backend: Opens the task's environment.
        recorder: Keeps what happens.
        scope: The innermost cancel scope around `open` and `close`; shielded while the environment is closed, cancelled
            when one of the two takes too long. It serves one attempt after another: a scope for each costs 3 us.
        timeouts: Deadlines of the phases.
        grading: The kernel, which provides the graders that the task names, and the judges of its job.
        label: The task's label.
    """

    __slots__ = (  # noqa: RUF023  public names first
        "answer", "deadline", "evaluation", "failure", "is_expired", "phase", "prompt", "session",
        "_backend", "_grading", "_inner", "_label", "_opened", "_outer", "_recorder", "_task", "_timeouts",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        backend: Backend,
        recorder: Recorder,
        scope: anyio.CancelScope,
        *,
        timeouts: Timeouts,
        grading: Grading,
        label: str,
    ) -> None:
        self.phase: str = "open"
        self.deadline: float = math.inf
        self.failure: Failure | None = None
        """Why there is no score."""
        self.is_expired: bool = False
        """Whether opening or closing took too long, and the caller's scope was cancelled for it."""
        self.session: Session | None = None
        self.prompt: Prompt | None = None
        self.answer: Answer | None = None
        self.evaluation: Evaluation | None = None
        self._task = task
        self._backend = backend
        self._recorder = recorder
        self._timeouts = timeouts
        self._grading = grading
        self._label = label
        self._opened: AbstractAsyncContextManager[Session] | None = None
        self._outer = scope
        self._inner: anyio.CancelScope | None = None

    def expire(self) -> None:
        """End the phase that took too long."""
        self.deadline = math.inf
        if self._inner is not None:
            self._inner.cancel()
            return
        self.is_expired = True
        self._outer.cancel()

    def _enter(self, phase: str) -> None:
        self.phase = phase
        seconds = getattr(self._timeouts, phase)
        self.deadline = math.inf if seconds is None else time.monotonic() + seconds

    # --- the whole ----------------------------------------------------------------------------------------------------

    async def run(
        self, agent: Agent, shown: ToolFilter, *, max_steps: int, seed: int | None = None, number: int = 1
    ) -> Failure | None:
        """Run every phase, and say why there is no score, if there is none.

        Raises:
            CancelledError: The caller's scope, or one around it, was cancelled; when `is_expired`, `failure` and
                `evaluation` say what there is.
        """
        token = current_recorder.set(self._recorder)
        try:
            await self.open(seed=seed, number=number)
            try:
                with anyio.CancelScope() as scope:
                    self._inner = scope
                    try:
                        await self.setup()
                        self.submit(await self.ask(agent, shown, max_steps=max_steps))
                        self._inner = scope
                        await self.grade()
                    except Exception as error:  # noqa: BLE001  a rollout's error is its outcome, never its siblings'
                        self.failure = failure_of(error, self.phase)
                    finally:
                        if scope.cancel_called and self.evaluation is None:
                            self.failure = self.late()
                        await self.end(scope)
            except BaseException as error:  # cancellation, from outside or by the environment's own task group
                self._inner = None
                await self.close(error)
                raise
            self._inner = None
            await self.close()
        except Exception as error:  # noqa: BLE001  as above
            self.failure = self.failure or failure_of(error, self.phase)
        finally:
            current_recorder.reset(token)
        return self.failure

    def late(self) -> Failure:
        """Say that the phase took too long."""
        seconds = getattr(self._timeouts, self.phase)
        return failure_of(TimeoutError(f"phase {self.phase!r} took longer than its {seconds:g} s"), self.phase)

    # --- the phases ---------------------------------------------------------------------------------------------------

    async def open(self, *, seed: int | None = None, number: int = 1) -> None:
        """Open the environment."""
        task, record = self._task, self._recorder
        if task.env is None or task.scenario is None or task.args is None:
            raise ConfigError(_unfit(task))
        record.add(
            RolloutStarted(
                rollout=record.rollout,
                task=self._label,
                scenario=task.scenario,
                args=task.args,
                attempt=number,
                time=time.time(),
            )
        )
        self._enter("open")
        opened = self._backend.open(task.env, seed=seed)
        self.session = await opened.__aenter__()
        self._opened = opened

    async def setup(self) -> Prompt:
        """Run the scenario up to its prompt."""
        task = self._task
        self._enter("setup")
        prompt = await self._live().setup(task.scenario or "", task.args or {})
        if task.agent_config is not None:
            prompt = _configured(prompt, task.agent_config)
        self.prompt = prompt
        self._recorder.add(Prompted(rollout=self._recorder.rollout, prompt=prompt, time=time.time()))
        return prompt

    def toolbox(self, shown: ToolFilter) -> Toolbox:
        """Make what the agent sees of the session."""
        config = self._task.agent_config
        if config is not None and (config.allowed_tools is not None or config.disallowed_tools):
            shown = ToolFilter(config.allowed_tools, config.disallowed_tools, within=shown)
        observe = self._recorder.observe
        # Not the method itself: its object knows the scenario's arguments, and the toolbox is the agent's.
        return Toolbox(self._live().tools, shown, lambda call, result: observe(call, result))  # noqa: PLW0108

    def _live(self) -> Session:
        if self.session is None:
            msg = "the environment is not open"
            raise ConfigError(msg)
        return self.session

    def ask(self, agent: Agent, shown: ToolFilter, *, max_steps: int) -> Awaitable[Answer | str]:
        """Let the agent answer; await what this gives. One that runs out of time is graded as it stands."""
        toolbox = self.toolbox(shown)
        config = self._task.agent_config
        if config is not None and config.max_steps is not None:
            max_steps = min(max_steps, config.max_steps)
        assert self.prompt is not None  # noqa: S101  `setup` has set it
        self._enter("agent")
        prompt = self.prompt
        if prompt.setup_output and not agent.wants_setup_output:  # it may hold what only the scenario is to know
            prompt = attrs.evolve(prompt, setup_output=())
        answer = agent.run(prompt, toolbox, max_steps=max_steps)
        return answer if self._timeouts.agent is None else self._within_limit(answer)

    async def _within_limit(self, answer: Awaitable[Answer | str]) -> Answer | str:
        with anyio.CancelScope() as self._inner:
            return await answer
        return Answer(stop_reason=StopReason.AGENT_TIMEOUT)

    def submit(self, answer: Answer | str) -> None:
        """Keep the agent's answer, for grading.

        Raises:
            AgentError: It is neither text nor an `Answer`.
        """
        self.answer = answer = plain_answer(answer)
        self._recorder.add(Answered(rollout=self._recorder.rollout, answer=answer, time=time.time()))

    async def grade(self) -> Evaluation:
        """Grade the answer, by the task's own graders or else by its scenario."""
        self._enter("grade")
        if self.answer is None:
            msg = "there is no answer to grade"
            raise GraderError(msg)
        kernel, _, judges = self._grading
        token = current_grading.set(Grading(kernel, self.prompt, judges))
        try:
            if self._task.graders:
                evaluation = await grade_with(self._task.graders, kernel, self.answer, self._live())
            else:
                evaluation = await self._live().grade(self.answer)
        finally:
            current_grading.reset(token)
        self.evaluation = evaluation
        self._recorder.add(Graded(rollout=self._recorder.rollout, evaluation=evaluation, time=time.time()))
        return evaluation

    async def end(self, scope: anyio.CancelScope) -> None:
        """End the scenario, whatever happened, within the deadline for closing. What fails here changes no outcome.

        Args:
            scope: The innermost cancel scope, the one that setup ran in: begun and ended in the same, a scenario may
                hold a task group open from its first yield to its last.
        """
        was_cancelled = scope.cancel_called
        self._inner, self.deadline, scope.shield = scope, time.monotonic() + self._timeouts.close, True
        try:
            await self._live().aclose()
        except Exception as problem:  # noqa: BLE001  the scenario's own code: anything
            self._log(f"teardown failed: {describe(problem)}{place_of(problem)}")
        except BaseException:
            if scope.cancel_called and not was_cancelled:
                self._log("teardown of the scenario took too long and was given up")
            raise

    async def close(self, error: BaseException | None = None) -> None:
        """Tear the environment down, whatever happened, within the deadline for it.

        A teardown that fails changes no outcome: it is recorded as a line of log.

        Args:
            error: The cancellation that ended the attempt.

        Raises:
            BackendError: It was the environment that cancelled the attempt, because something in it broke.
        """
        opened, self._opened = self._opened, None
        if opened is None:
            return
        self.deadline = time.monotonic() + self._timeouts.close
        self._outer.shield = True
        try:
            was_its_own = await opened.__aexit__(*_exc_info(error))
        except Exception as problem:
            if error is not None:
                raise BackendError(f"the environment broke: {describe(problem)}") from problem
            self._log(f"teardown failed: {describe(problem)}{place_of(problem)}")
        else:
            if error is not None and was_its_own:
                raise BackendError("the environment ended before the rollout did") from error
        finally:
            self._outer.shield = False

    def _log(self, text: str) -> None:
        self._recorder.add(LogLine(rollout=self._recorder.rollout, text=text, time=time.time(), source="teardown"))


def _configured(prompt: Prompt, config: TaskAgentConfig) -> Prompt:
    """Give the prompt as the task's ``agent_config`` wants it."""
    if config.append_setup_output:
        prompt = attrs.evolve(prompt.showing(prompt.setup_output), setup_output=())
    if config.system_prompt or config.initial_screenshot:
        system = config.system_prompt or prompt.system
        prompt = attrs.evolve(prompt, system=system, initial_screenshot=bool(config.initial_screenshot))
    return prompt


def plain_answer(answer: object) -> Answer:
    """Read what an agent returned, as plain data: an object that only looks like text could equal any solution.

    Raises:
        AgentError: It is neither text nor an `Answer`, or its structured content is not JSON data.
    """
    if isinstance(answer, str):
        return Answer(text=str.__str__(answer))
    if not isinstance(answer, Answer):
        msg = f"an agent's run must return a str or an Answer, got {type(answer).__name__} {answer!r}"
        raise AgentError(msg)
    try:
        structured = None if answer.structured is None else to_json_data(answer.structured)
        text, reason = str.__str__(answer.text), StopReason(answer.stop_reason)
    except (TypeError, ValueError) as error:
        msg = f"an Answer must hold text and JSON data: {error}"
        raise AgentError(msg) from error
    return Answer(text=text, structured=structured, citations=answer.citations, stop_reason=reason)


def _exc_info(
    error: BaseException | None,
) -> tuple[type[BaseException] | None, BaseException | None, TracebackType | None]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def failure_of(error: BaseException, phase: str) -> Failure:
    """Say what an exception that ended a phase means, with the place in the user's code that raised it."""
    if isinstance(error, BaseExceptionGroup):
        failures = [failure_of(inner, phase) for inner in error.exceptions]
        if len({failure.verdict for failure in failures}) == 1:  # such as several judges without a budget
            text = "; ".join(dict.fromkeys(failure.text for failure in failures))
            return failures[0]._replace(text=text)
    return Failure(verdict_for(error, phase), phase, describe(error) + place_of(error), error)


def _unfit(task: Task) -> str:
    if task.env is None:
        return f"task {task.label!r} has no environment; set its env, or put an env.py beside its file"
    if task.scenario is None:
        return f"task {task.label!r} has no scenario"
    return f"task {task.label!r} has args=None (a template); give it arguments first"
