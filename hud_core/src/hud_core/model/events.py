"""What happens in a job, as frozen records. Result sinks receive them; the run directory keeps them.

They are msgspec Structs, not attrs classes: a job makes many of them, and these are made and written in a third of the
time. They hold no cycles, so the garbage collector need not look at them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from hud_core.errors import Cause
from hud_core.model.content import Content, Prompt
from hud_core.model.evaluation import Answer, Evaluation
from hud_core.model.rollout import NO_USAGE, Rollout, Usage
from hud_core.model.tools import Tool, ToolCall, ToolResult


class JobStarted(Struct, frozen=True, kw_only=True, gc=False):
    """A job begins."""

    job: str
    name: str
    agents: tuple[str, ...]
    time: float
    total: int | None
    """Rollouts to run, or None while the source is still being read."""
    type: Literal["job_started"] = "job_started"


class RolloutStarted(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt at a rollout begins."""

    rollout: str
    task: str
    scenario: str | None
    args: dict[str, Any] | None
    attempt: int
    time: float
    type: Literal["rollout_started"] = "rollout_started"


class Prompted(Struct, frozen=True, kw_only=True, gc=False):
    """The scenario gave its prompt."""

    rollout: str
    prompt: Prompt
    time: float
    type: Literal["prompted"] = "prompted"


class ConversationStarted(Struct, frozen=True, kw_only=True, gc=False):
    """An agent begins to talk to its model: what the model is told beside the prompt."""

    rollout: str
    model: str
    time: float
    system: str = ""
    """The whole system prompt: the agent's and the task's."""
    tools: tuple[Tool, ...] = ()
    """The tools that it is offered, under the environment's names."""
    added: tuple[Content, ...] = ()
    """What its settings put behind the prompt, such as a first screenshot."""
    type: Literal["conversation_started"] = "conversation_started"


class ModelCalled(Struct, frozen=True, kw_only=True, gc=False):
    """A model endpoint answered."""

    rollout: str
    model: str
    time: float
    seconds: float
    """How long the endpoint took for its answer; 0.0 for one out of the cache."""
    waited: float = 0.0
    """How long the call waited before: tries that failed, and its turn at an endpoint that is overloaded."""
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
    """Tries that failed before."""
    cached: bool = False
    """Whether the answer came out of the cache: it cost nothing, and no model was asked."""
    caller: str = "agent"
    """Who asked: the agent, or a judge that grading asked."""
    type: Literal["model_called"] = "model_called"


class ToolCalled(Struct, frozen=True, kw_only=True, gc=False):
    """A tool is called."""

    rollout: str
    call: ToolCall
    time: float
    type: Literal["tool_called"] = "tool_called"


class ToolReturned(Struct, frozen=True, kw_only=True, gc=False):
    """A tool call ended."""

    rollout: str
    name: str
    result: ToolResult
    time: float
    type: Literal["tool_returned"] = "tool_returned"


class Answered(Struct, frozen=True, kw_only=True, gc=False):
    """The agent answered."""

    rollout: str
    answer: Answer
    time: float
    type: Literal["answered"] = "answered"


class Graded(Struct, frozen=True, kw_only=True, gc=False):
    """The answer was graded."""

    rollout: str
    evaluation: Evaluation
    time: float
    type: Literal["graded"] = "graded"


class AttemptFailed(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt failed; `retry_in` says when the next begins, None that there is none."""

    rollout: str
    attempt: int
    cause: Cause
    phase: str
    error: str
    time: float
    retry_in: float | None = None
    type: Literal["attempt_failed"] = "attempt_failed"


class RolloutFinished(Struct, frozen=True, kw_only=True, gc=False):
    """A rollout ended."""

    rollout: str
    record: Rollout
    time: float
    type: Literal["rollout_finished"] = "rollout_finished"


class JobFinished(Struct, frozen=True, kw_only=True, gc=False):
    """A job ended, or was stopped."""

    job: str
    time: float
    scored: int
    invalid: int
    mean: float | None
    stopped: bool = False
    """Whether rollouts are missing because the job was stopped, by somebody or by its budget."""
    ended: str | None = None
    """Which budget was spent, if one was."""
    usage: Usage = NO_USAGE
    """What was spent on models; with a budget, by earlier runs of the job too."""
    type: Literal["job_finished"] = "job_finished"


class LogLine(Struct, frozen=True, kw_only=True, gc=False):
    """A line that an environment or an agent wrote."""

    rollout: str
    text: str
    time: float
    source: str = ""
    data: dict[str, Any] = {}
    type: Literal["log_line"] = "log_line"


Event = (
    JobStarted
    | RolloutStarted
    | Prompted
    | ConversationStarted
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
