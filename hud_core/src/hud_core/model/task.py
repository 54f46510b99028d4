"""A task: one scenario with arguments, as a row of data that can travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
from attrs import define, field, frozen
from attrs.validators import instance_of as is_a
from attrs.validators import optional

from hud_core.errors import ConfigError
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from hud_core.interfaces import Agent
    from hud_core.kernel import Kernel
    from hud_core.model.rollout import Rollout

MAX_SLUG_LENGTH = 100


@runtime_checkable
class TaskLike(Protocol):
    """**Protocol:** what stands for a task, in a form of its own; it runs wherever a task does."""

    def to_task(self) -> Task:
        """Give the task."""


@runtime_checkable
class Recipe(Protocol):
    """An environment that is declared in this process: `hud_core.Environment` is one."""

    @property
    def name(self) -> str:
        """The environment's normalised name."""


@frozen
class EnvRef:
    """Names an environment that lives elsewhere, and the backend that opens it."""

    name: str
    backend: str | None = None
    """The provider to open it with; None leaves the choice to whoever runs the task."""
    options: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class TaskAgentConfig:
    """What a task asks of whichever agent attempts it."""

    system_prompt: str | None = None
    """Added to the agent's own system prompt."""
    allowed_tools: list[str] | None = None
    """`fnmatch` patterns; tools that match none are hidden from the agent."""
    disallowed_tools: list[str] | None = None
    """`fnmatch` patterns; tools that match one are hidden from the agent."""
    max_steps: int | None = None
    """Model turns at the most; the job's own limit holds where it is smaller."""
    append_setup_output: bool | None = None
    """Whether the prompt goes on with what the tools gave that the scenario called before it."""
    initial_screenshot: bool | None = None
    """Whether the model sees the screen before its first turn; the environment needs a computer tool."""


def _slug(_: object, __: object, value: str | None) -> None:
    if value is not None and (not value or len(value) > MAX_SLUG_LENGTH or value != value.strip()):
        msg = f"slug {value!r} must have 1 to {MAX_SLUG_LENGTH} characters and no space around it"
        raise ValueError(msg)


def _calls(value: object) -> list[ToolCall] | None:
    if value is None or (type(value) is list and all(type(item) is ToolCall for item in value)):
        return value
    if not isinstance(value, list | tuple):
        msg = f"validation must be a list of tool calls, got {type(value).__name__}"
        raise TypeError(msg)
    return [call if isinstance(call, ToolCall) else _call(call) for call in value]


def _call(value: object) -> ToolCall:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        msg = f"a validation call must be a ToolCall or {{'name': ..., 'arguments': {{...}}}}, got {value!r}"
        raise TypeError(msg)
    return ToolCall(value["name"], value.get("arguments"))


def _agent_config(value: object) -> object:
    return TaskAgentConfig(**value) if isinstance(value, dict) else value


@define(kw_only=True, eq=False)
class Task:
    """One scenario with arguments. Mutable, and checked at each assignment.

    Raises:
        TypeError: A field has a value of the wrong type.
        ValueError: A slug that is empty, too long or padded.
    """

    env: Recipe | EnvRef | None = None
    """Where it runs: an `Environment` of this process, or a reference to one elsewhere."""
    scenario: str | None = field(default=None, validator=optional(is_a(str)))
    args: dict[str, Any] | None = field(default=None, validator=optional(is_a(dict)))
    """The scenario's arguments. None makes the task a template, which cannot run."""
    slug: str | None = field(default=None, validator=[optional(is_a(str)), _slug])
    """A stable name for syncing and filtering, unique in its taskset."""
    id: str | None = field(default=None, validator=optional(is_a(str)))
    columns: dict[str, Any] = field(factory=dict, validator=is_a(dict))
    """Custom columns of the taskset."""
    validation: list[ToolCall] | None = field(default=None, converter=_calls)
    """Tool calls that solve the task, for the oracle agent."""
    answer: Any = None
    """The answer that solves the task, for the oracle agent; JSON data for a typed one."""
    agent_config: TaskAgentConfig | None = field(
        default=None, converter=_agent_config, validator=optional(is_a(TaskAgentConfig))
    )
    metadata: dict[str, Any] = field(factory=dict, validator=is_a(dict))
    graders: list[dict[str, Any]] | None = field(default=None, validator=optional(is_a(list)))
    """Named graders with their options, for tasks that are graded without code."""

    @property
    def label(self) -> str:
        """What people call the task: its slug, its id, or its scenario with the arguments."""
        if self.slug or self.id:
            return self.slug or self.id or ""
        shown = ", ".join(f"{key}={value!r}" for key, value in list((self.args or {}).items())[:3])
        return f"{self.scenario}({shown})"[:80]

    def copy(self) -> Task:
        """Copy the task without its identity: slug and id are None, containers are the copy's own."""
        return attrs.evolve(
            self,
            slug=None,
            id=None,
            args=None if self.args is None else dict(self.args),
            columns=dict(self.columns),
            metadata=dict(self.metadata),
        )

    def model_dump(self, **_: object) -> dict[str, Any]:
        """Give the task as JSON data, as task files hold it; templates such as ``${VAR}`` stay templates."""
        from hud_core.model.codec import dump_task

        return dump_task(self)

    async def run(
        self, agent: Agent | str, *, max_steps: int = 10, kernel: Kernel | None = None, **options: Any
    ) -> Rollout:
        """Run one rollout of the task and give its record, with the graded reward.

        Args:
            agent: An agent, or the name of an installed one, or of a model that one of them runs.
            max_steps: Model turns at the most.
            kernel: The kernel whose plugins are used; by default one with every installed plugin.
            options: Anything else that `hud_core.run` takes, such as ``backend="process"``.

        Raises:
            ConfigError: The task is a template, or has no environment.
        """
        from hud_core.job import run

        if self.args is None:
            msg = "cannot run a task with args=None (a template); give it arguments first"
            raise ConfigError(msg)
        job = await run([self], agent, max_steps=max_steps, kernel=kernel, save=False, **options)
        return job.rollouts[0]
