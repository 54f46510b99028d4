"""What a job runs: tasks x agents x variants x group, as one stream of units."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import msgspec
from attrs import field, frozen

from hud_core.errors import ConfigError
from hud_core.interfaces import Agent, ResultSink
from hud_core.job.grading import check_tasks
from hud_core.job.limits import Retries, Timeouts
from hud_core.kernel import Kernel
from hud_core.metering.budget import UNLIMITED, Budget
from hud_core.model.task import Task, TaskLike

Tasks = Task | TaskLike | Iterable[Task | TaskLike] | AsyncIterable[Task | TaskLike] | str


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
    budget: Budget = UNLIMITED
    """What the whole job may spend."""
    rollout_budget: Budget = UNLIMITED
    """What each rollout may spend."""
    prices: Path | None = None
    """A file with prices of models that count before others."""
    cache: Path | None = None
    """Where answers of models are kept, or None not to keep them."""
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


class Unit(msgspec.Struct, frozen=True):
    """One rollout that a job is to run."""

    task: Task
    index: int
    """The task's place in its source."""
    agent: int
    """Which of the job's agents and variants."""
    repeat: int
    label: str
    """The task's label."""

    @property
    def task_key(self) -> str:
        """What tells the task from the others of the job: its slug, its id, or its place."""
        return self.task.slug or self.task.id or str(self.index)


def rollout_id(unit: Unit, contestant: str, taken: set[str]) -> str:
    """Name a rollout, the same each time that its job is run.

    Args:
        unit: What is run.
        contestant: The key of the agent and variant.
        taken: The names given so far, to which this one is added.
    """
    name = f"{unit.task_key}/{contestant}/{unit.repeat}"
    if name in taken:  # two tasks with one slug, or a task that is listed twice
        name = f"{unit.task_key}@{unit.index}/{contestant}/{unit.repeat}"
    taken.add(name)
    return name


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


async def stream_tasks(tasks: Tasks, kernel: Kernel) -> AsyncGenerator[Task, None]:
    """Give the tasks one by one, without holding them.

    Raises:
        ConfigError: It is neither a task, an iterable of tasks nor a source that an installed plugin knows.
    """
    if isinstance(tasks, str):
        tasks = kernel.source_for(tasks).load(tasks)
    if isinstance(tasks, Task | TaskLike):
        yield as_task(tasks)
    elif isinstance(tasks, AsyncIterable):
        try:
            async for task in tasks:
                yield as_task(task)
        finally:
            if isinstance(tasks, AsyncGenerator):
                await tasks.aclose()
    elif isinstance(tasks, Iterable) and not isinstance(tasks, Mapping):
        for task in tasks:
            yield as_task(task)
    else:
        raise _not_tasks(tasks)


def as_task(value: object) -> Task:
    """Give the task that a value is, or stands for.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, Task):
        return value
    if isinstance(value, TaskLike) and not isinstance(value, type):
        return value.to_task()
    raise _not_tasks(value)


def _not_tasks(value: object) -> ConfigError:
    return ConfigError(f"expected a Task, tasks or the name of a source, got {type(value).__name__} {value!r}")


class Units:
    """The rollouts that a job is to run, handed out one by one to any number of workers.

    Args:
        spec: The job.
        contestants: How many agents and variants attempt each task.

    Raises:
        TaskDataError: Graders that a task names, or their options, are wrong.
    """

    def __init__(self, spec: JobSpec, contestants: int) -> None:
        self._contestants = contestants
        self._group = spec.group
        tasks = [spec.tasks] if isinstance(spec.tasks, Task | TaskLike) else spec.tasks
        self._now: Iterator[Unit] | None = None
        self.total: int | None = None
        """How many there are; None while the source is still being read."""
        self.is_exhausted: bool = False
        """Whether all of them have been handed out."""
        self._kernel = spec.kernel
        if isinstance(tasks, Sequence) and not isinstance(tasks, str):
            plain = [as_task(task) for task in tasks]
            check_tasks(plain, spec.kernel)
            self.total = len(plain) * contestants * spec.group
            self._now = (unit for index, task in enumerate(plain) for unit in self._of(task, index))
            return
        self._later = self._stream(stream_tasks(tasks, spec.kernel))
        self._lock = anyio.Lock(fast_acquire=True)

    async def next(self) -> Unit | None:
        """Give the next rollout, or None when there is none.

        Raises:
            HudError: The source cannot be read, or a task names graders wrongly.
        """
        if self._now is not None:  # no lock needed, which costs as much as a tenth of a small rollout
            unit = next(self._now, None)
        else:
            async with self._lock:
                unit = await anext(self._later, None)
        self.is_exhausted = unit is None
        return unit

    async def aclose(self) -> None:
        """Close the source, which may have a file open."""
        if self._now is None:
            await self._later.aclose()

    async def _stream(self, tasks: AsyncGenerator[Task, None]) -> AsyncGenerator[Unit, None]:
        count = 0
        async with aclosing(tasks):
            async for task in tasks:
                if task.graders:
                    check_tasks([task], self._kernel, first=count)
                for unit in self._of(task, count):
                    yield unit
                count += 1
        self.total = count * self._contestants * self._group

    def _of(self, task: Task, index: int) -> Iterator[Unit]:
        label = task.label
        for contestant in range(self._contestants):
            for repeat in range(self._group):
                yield Unit(task, index, contestant, repeat, label)
