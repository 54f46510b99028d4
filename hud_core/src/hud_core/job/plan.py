"""What a job runs: tasks x agents x variants x group, as one stream of units."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from hud_core.errors import ConfigError
from hud_core.interfaces import Agent, ResultSink
from hud_core.job.limits import Retries, Timeouts
from hud_core.model.task import Task

if TYPE_CHECKING:
    from hud_core.kernel import Kernel

Tasks = Task | Iterable[Task] | AsyncIterable[Task] | str


@frozen(kw_only=True)
class JobSpec:
    """Everything that a job is: what `run` was asked for, in one record."""

    tasks: Tasks
    agents: tuple[Agent | str, ...]
    name: str = ""
    group: int = 1
    """Repeats of each task."""
    variants: Mapping[str, Any] = field(factory=dict)
    """Settings of the agent; a list of values is one variant each, several lists are combined."""
    agent_options: Mapping[str, Any] = field(factory=dict)
    """Settings for agents that are given by name."""
    max_concurrent: int = 30
    max_steps: int = 10
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    backend: str | None = None
    """The backend for environments of this process; ``local`` by default."""
    allowed_tools: tuple[str, ...] | None = None
    disallowed_tools: tuple[str, ...] = ()
    seed: int | None = None
    sinks: tuple[ResultSink, ...] = ()
    kernel: Kernel
    directory: Path | None = None
    """The run directory, or None to write nothing."""
    manifest: Mapping[str, Any] = field(factory=dict)
    """Anything to keep in the run directory's ``job.json``."""
    resume: bool = False
    """Whether the directory holds an earlier run whose finished rollouts are kept."""

    def __attrs_post_init__(self) -> None:
        for name in ("group", "max_concurrent", "max_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                msg = f"{name} must be a whole number of at least 1, got {value!r}"
                raise ConfigError(msg)


@frozen
class Unit:
    """One rollout that a job is to run."""

    task: Task
    index: int
    """The task's place in its source."""
    agent: int
    """Which of the job's agents and variants."""
    repeat: int

    @property
    def task_key(self) -> str:
        """What tells the task from the others of the job: its slug, its id, or its place."""
        return self.task.slug or self.task.id or str(self.index)


def expand_variants(variants: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Expand variants: each list is a choice, every combination is one variant; no variants are one empty one.

    Raises:
        ConfigError: A list is empty.
    """
    choices = [value if isinstance(value, list | tuple) else [value] for value in variants.values()]
    for name, choice in zip(variants, choices, strict=True):
        if not choice:
            msg = f"variant {name!r} is an empty list, so there is nothing to run"
            raise ConfigError(msg)
    return [dict(zip(variants, values, strict=True)) for values in itertools.product(*choices)]


async def stream_tasks(tasks: Tasks, kernel: Kernel) -> AsyncIterator[Task]:
    """Give the tasks one by one, without holding them.

    Raises:
        ConfigError: It is neither a task, an iterable of tasks nor a source that an installed plugin knows.
    """
    if isinstance(tasks, str):
        tasks = kernel.source_for(tasks).load(tasks)
    if isinstance(tasks, Task):
        yield tasks
    elif isinstance(tasks, AsyncIterable):
        async for task in tasks:
            yield _checked(task)
    elif isinstance(tasks, Iterable) and not isinstance(tasks, Mapping):
        for task in tasks:
            yield _checked(task)
    else:
        raise _not_tasks(tasks)


def _checked(task: object) -> Task:
    if not isinstance(task, Task):
        raise _not_tasks(task)
    return task


def _not_tasks(value: object) -> ConfigError:
    return ConfigError(f"expected a Task, tasks or the name of a source, got {type(value).__name__} {value!r}")


def task_units(task: Task, index: int, contestants: int, group: int) -> Iterator[Unit]:
    """Give the rollouts of one task."""
    for agent in range(contestants):
        for repeat in range(group):
            yield Unit(task, index, agent, repeat)


def count_units(tasks: Tasks, contestants: int, group: int) -> int | None:
    """Count the rollouts, or give None for tasks that come as a stream."""
    if isinstance(tasks, Task):
        return contestants * group
    return len(tasks) * contestants * group if isinstance(tasks, Sequence) and not isinstance(tasks, str) else None
