"""The record of one rollout: what was attempted, how it ended, what it earned.

Msgspec Structs, as events are and for the same reason: a job of 100,000 rollouts is read back in a third of the time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from hud_core.errors import Cause
from hud_core.model.evaluation import Answer, Evaluation, StopReason


class Status(StrEnum):
    """Whether a rollout has a score."""

    SCORED = "scored"
    INVALID = "invalid"


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens and calls of a model, and what they cost."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens that came out of the provider's cache; part of `input_tokens`."""
    reasoning_tokens: int = 0
    """Output tokens that the model thought with; part of `output_tokens`."""
    cache_write_tokens: int = 0
    """Input tokens that were written to the provider's cache; part of `input_tokens`."""
    cost: float | None = None
    """Dollars; None where it is not known, which makes every sum unknown. What used no model cost 0.0."""

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        ours, theirs = _cost(self), _cost(other)
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost=None if ours is None or theirs is None else ours + theirs,
        )


NO_USAGE = Usage(cost=0.0)


def _cost(usage: Usage) -> float | None:
    return usage.cost if usage.cost is not None or usage.calls or usage.tokens else 0.0


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that failed and was tried again."""

    cause: Cause
    phase: str
    error: str
    seconds: float


class Fingerprint(Struct, frozen=True, kw_only=True, gc=False):
    """Digests of what a rollout depends on; None where the source cannot be read.

    A later run compares them to tell which rollouts it may reuse.
    """

    task: str
    environment: str | None = None
    """Tools and the part of the scenario before its first yield."""
    grader: str | None = None
    """The part of the scenario after its first yield, and named graders."""
    agent: str = ""


class Rollout(Struct, frozen=True, kw_only=True, gc=False):
    """One agent's one attempt at one task, as it ended. `reward` is None unless it was scored."""

    id: str
    """Unique in its job and the same when the job is resumed: ``task/agent/variant/repeat``."""
    job_id: str
    group_id: str
    """Shared by the repeats of one task with one agent and variant, and by nothing else."""
    task: str
    """The task's label."""
    task_index: int
    """The task's place in its source."""
    agent: str
    sees_solution: bool = False
    """The agent was shown the task's solution, so it is no contestant."""
    variant: dict[str, Any] = {}
    repeat: int = 0
    status: Status
    stop_reason: StopReason | None = None
    cause: Cause | None = None
    phase: str | None = None
    """The phase that failed."""
    error: str | None = None
    reward: float | None = None
    evaluation: Evaluation | None = None
    answer: Answer | None = None
    usage: Usage = NO_USAGE
    started: float
    """Seconds since 1970."""
    seconds: float
    """Wall time of the last attempt."""
    attempts: tuple[Attempt, ...] = ()
    """The attempts before the last one."""
    fingerprint: Fingerprint | None = None

    @property
    def is_scored(self) -> bool:
        """Whether the rollout has a reward."""
        return self.status is Status.SCORED

    @property
    def content(self) -> str | None:
        """The answer's text."""
        return None if self.answer is None else self.answer.text

    @property
    def isError(self) -> bool:  # noqa: N802  the name that reference code reads
        """Whether the rollout has no score."""
        return not self.is_scored

    @property
    def info(self) -> dict[str, Any]:
        """The grader's info, with the error where there is one."""
        info = {} if self.evaluation is None else dict(self.evaluation.info)
        return info if self.error is None else {**info, "error": self.error}
