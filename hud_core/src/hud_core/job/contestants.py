"""Who takes part in a job: each agent with each variant of its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from hud_core.errors import ConfigError
from hud_core.interfaces import Agent, Solution, SolutionAgent
from hud_core.job.plan import expand_variants
from hud_core.settings import mask

if TYPE_CHECKING:
    from hud_core.job.plan import JobSpec
    from hud_core.model.task import Task


@attrs.define
class Contestant:
    """One agent with one variant of its settings."""

    agent: Agent
    name: str
    key: str
    """Tells it from the job's other contestants, the same when the job is resumed."""
    variant: dict[str, Any]
    is_ours: bool
    """Whether this job made the agent, and so closes it."""
    sees_solution: bool = attrs.field(init=False)
    """Whether the agent is shown solutions."""

    def __attrs_post_init__(self) -> None:
        self.sees_solution = isinstance(self.agent, SolutionAgent)

    def for_task(self, task: Task) -> Agent:
        """Give the agent that attempts a task."""
        return for_task(self.agent, task) if self.sees_solution else self.agent


def make_contestants(spec: JobSpec) -> list[Contestant]:
    """Make the agents of a job: each agent with each variant.

    Raises:
        ConfigError: An agent object is to run in variants, or there is no agent.
        UnknownProviderError: A named agent is not installed.
    """
    if not spec.agents:
        msg = "there is no agent to run"
        raise ConfigError(msg)
    found: list[Contestant] = []
    for agent in spec.agents:
        for variant in expand_variants(spec.variants):
            contestant = _contestant(agent, variant, spec)
            taken = sum(other.name == contestant.name for other in found)
            contestant.key = f"{contestant.name}.{taken}" if taken else contestant.name
            found.append(contestant)
    return found


def _contestant(agent: Agent | str, variant: dict[str, Any], spec: JobSpec) -> Contestant:
    if isinstance(agent, str):
        made = spec.kernel.create_agent(agent, **{**spec.agent_options, **variant})
        return Contestant(made, agent, agent, mask(variant), is_ours=True)
    if not isinstance(agent, Agent):
        msg = f"an agent must be the name of one or a hud_core.Agent, got {type(agent).__name__} {agent!r}"
        raise ConfigError(msg)
    if variant or spec.agent_options:
        msg = f"variants and options are for agents given by name; {agent!r} has its settings already"
        raise ConfigError(msg)
    name = agent.name or type(agent).__name__
    return Contestant(agent, name, name, {}, is_ours=False)


def for_task(agent: Agent, task: Task) -> Agent:
    """Give the agent that attempts a task: itself, unless it is one that is shown solutions."""
    if isinstance(agent, SolutionAgent):
        return agent.with_solution(Solution(calls=tuple(task.validation or ()), answer=task.answer))
    return agent
