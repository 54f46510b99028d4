"""What happens in a job, as frozen records. Result sinks receive them; the run directory keeps them."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from hud_core.errors import Cause
from hud_core.model.content import Prompt
from hud_core.model.evaluation import Answer, Evaluation
from hud_core.model.rollout import NO_USAGE, Rollout, Usage
from hud_core.model.tools import ToolCall, ToolResult


@frozen(kw_only=True)
class JobStarted:
    """A job begins."""

    job: str
    name: str
    agents: tuple[str, ...]
    time: float
    total: int | None
    """Rollouts to run, or None while the source is still being read."""
    type: Literal["job_started"] = "job_started"


@frozen(kw_only=True)
class RolloutStarted:
    """An attempt at a rollout begins."""

    rollout: str
    task: str
    scenario: str | None
    args: dict[str, Any] | None
    attempt: int
    time: float
    type: Literal["rollout_started"] = "rollout_started"


@frozen(kw_only=True)
class Prompted:
    """The scenario gave its prompt."""

    rollout: str
    prompt: Prompt
    time: float
    type: Literal["prompted"] = "prompted"


@frozen(kw_only=True)
class ModelCalled:
    """A model endpoint answered."""

    rollout: str
    model: str
    time: float
    seconds: float
    """Latency of the call, its retries included."""
    text: str = ""
    """What the model said."""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """The tools that it wants called."""
    usage: Usage = NO_USAGE
    stop_reason: str | None = None
    """The provider's own word."""
    request_id: str | None = None
    retries: int = 0
    type: Literal["model_called"] = "model_called"


@frozen(kw_only=True)
class ToolCalled:
    """A tool is called."""

    rollout: str
    call: ToolCall
    time: float
    type: Literal["tool_called"] = "tool_called"


@frozen(kw_only=True)
class ToolReturned:
    """A tool call ended."""

    rollout: str
    name: str
    result: ToolResult
    time: float
    type: Literal["tool_returned"] = "tool_returned"


@frozen(kw_only=True)
class Answered:
    """The agent answered."""

    rollout: str
    answer: Answer
    time: float
    type: Literal["answered"] = "answered"


@frozen(kw_only=True)
class Graded:
    """The answer was graded."""

    rollout: str
    evaluation: Evaluation
    time: float
    type: Literal["graded"] = "graded"


@frozen(kw_only=True)
class AttemptFailed:
    """An attempt failed; `retry_in` says when the next begins, None that there is none."""

    rollout: str
    attempt: int
    cause: Cause
    phase: str
    error: str
    time: float
    retry_in: float | None = None
    type: Literal["attempt_failed"] = "attempt_failed"


@frozen(kw_only=True)
class RolloutFinished:
    """A rollout ended."""

    rollout: str
    record: Rollout
    time: float
    type: Literal["rollout_finished"] = "rollout_finished"


@frozen(kw_only=True)
class JobFinished:
    """A job ended, or was stopped."""

    job: str
    time: float
    scored: int
    invalid: int
    mean: float | None
    stopped: bool = False
    """Whether rollouts are missing because the job was stopped."""
    type: Literal["job_finished"] = "job_finished"


@frozen(kw_only=True)
class LogLine:
    """A line that an environment or an agent wrote."""

    rollout: str
    text: str
    time: float
    source: str = ""
    data: dict[str, Any] = field(factory=dict)
    type: Literal["log_line"] = "log_line"


Event = (
    JobStarted
    | RolloutStarted
    | Prompted
    | ModelCalled
    | ToolCalled
    | ToolReturned
    | Answered
    | Graded
    | AttemptFailed
    | RolloutFinished
    | JobFinished
    | LogLine
)
