"""`run_single_task` and `run_tasks`: the documented way to run tasks, on the kernel's job runner."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from hud_core.errors import ConfigError
from hud_core.job import run
from hud_core.job.plan import JobSpec, as_task, stream_tasks
from hud_core.kernel import Kernel
from hud_core.settings import mask
from hud_huggingface.legacy import BACKEND
from hud_huggingface.loading import load_tasks
from hud_huggingface.traces import Trace, trace_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Sequence

    from hud_core.interfaces import Agent
    from hud_core.model.task import Task, TaskLike

    Runnable = Task | TaskLike | Mapping[str, Any]

__all__ = ["Trace", "run_single_task", "run_tasks"]

PLATFORM = "platform"
"""The executor of jobs that are submitted to a remote platform."""


async def run_single_task(  # noqa: PLR0917  the documented signature
    task: Runnable,
    agent_type: str | Agent,
    agent_params: Mapping[str, Any] | None = None,
    max_steps: int = 10,
    job_id: str | None = None,
    task_id: str | None = None,
    group_id: str | None = None,
    trace_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Trace:
    """Run one task once, and give its trace.

    Args:
        task: A LegacyTask, a task, or the row of one.
        agent_type: The agent: an `AgentType`, the name of an agent or of a model, or an agent.
        agent_params: Settings of an agent that is given by name.
        max_steps: Model turns at the most.
        job_id: What the trace names as its job; the run's own id by default.
        task_id: Names the task in records; its own id by default.
        group_id: What the trace names as its group.
        trace_name: What the run is called; `task_id` or the task's label by default.
        metadata: Kept in the run directory's ``job.json``.
        options: Anything else that `hud_core.run` takes, such as ``timeouts=`` or ``sinks=``.

    Raises:
        ConfigError: Something that was asked for cannot be.
        TaskDataError: A row has mistakes; all of them are named.
    """
    (plain,) = _read([task])
    if task_id is not None:
        plain = attrs.evolve(plain, id=task_id)
    told = {"job_id": job_id, "task_id": task_id, "group_id": group_id}
    job = await run(
        [plain],
        agent_type,
        agent_options=agent_params,
        max_steps=max_steps,
        name=trace_name or task_id or plain.label,
        manifest={"metadata": {**(metadata or {}), **{name: value for name, value in told.items() if value}}},
        **options,
    )
    if not job.rollouts:
        raise ConfigError(f"the task was not begun: {job.ended or 'the job was stopped'}")
    return trace_of(job.rollouts[0], job.directory, job_id=job_id, group_id=group_id)


async def run_tasks(
    tasks: Iterable[Runnable] | AsyncIterable[Task] | str,
    agent_type: str | Agent,
    agent_params: Mapping[str, Any] | None = None,
    *,
    name: str = "Evaluation",
    max_concurrent: int = 30,
    metadata: Mapping[str, Any] | None = None,
    max_steps: int = 10,
    group_size: int = 1,
    remote: bool = False,
    **options: Any,
) -> list[Trace | None] | list[dict[str, Any]]:
    """Run tasks as one job.

    Args:
        tasks: LegacyTasks, tasks, rows of them, or the name of a source.
        agent_type: The agent: an `AgentType`, the name of an agent or of a model, or an agent.
        agent_params: Settings of an agent that is given by name.
        name: What the job is called.
        max_concurrent: Rollouts at once.
        metadata: Kept in the run directory's ``job.json``.
        max_steps: Model turns of one rollout at the most.
        group_size: Runs of each task.
        remote: Whether to submit the job to a remote platform, and not to wait for it.
        options: Anything else that `hud_core.run` takes, such as ``directory=`` and ``resume=``, or ``max_cost=``.

    Returns:
        With `remote` an empty list; with a `group_size` of 1 a trace for each task in the tasks' order, or None for one
        that was not begun because a budget was spent; with more a dict of statistics for each task.

    Raises:
        ConfigError: There are no tasks, or something that was asked for cannot be.
        TaskDataError: A row has mistakes; all of them are named.
    """
    if group_size < 1:
        raise ConfigError(f"group_size must be at least 1, got {group_size}")
    kernel = options.pop("kernel", None) or Kernel()
    plain = await _all(tasks, kernel)
    told = {"agent_params": mask(agent_params or {}), "agent_type": _name(agent_type)}
    groups = {"group_size": group_size, "total_episodes": len(plain) * group_size} if group_size > 1 else {}
    shared: dict[str, Any] = {
        "name": name,
        "group": group_size,
        "agent_options": agent_params or {},
        "max_concurrent": max_concurrent,
        "max_steps": max_steps,
        "kernel": kernel,
        "manifest": {"metadata": {**(metadata or {}), **told, **groups}},
    }
    if remote:
        await _submit(plain, agent_type, kernel, {**shared, **options})
        return []
    job = await run(plain, agent_type, **shared, **options)
    members: list[list[Trace]] = [[] for _ in plain]
    for rollout in job.rollouts:
        members[rollout.task_index].append(trace_of(rollout, job.directory))
    if group_size == 1:
        return [traces[0] if traces else None for traces in members]
    return [_statistics(task, place, group_size, members[place]) for place, task in enumerate(plain)]


# --- tasks ------------------------------------------------------------------------------------------------------------


async def _all(tasks: Any, kernel: Kernel) -> list[Task]:  # noqa: ANN401  as `run_tasks` takes them
    if isinstance(tasks, Mapping):
        tasks = [tasks]
    is_read = isinstance(tasks, list | tuple)
    found = _read(tasks) if is_read else [task async for task in stream_tasks(tasks, kernel)]
    if not found:
        raise ConfigError("there are no tasks to run")
    return found


def _read(tasks: Sequence[object]) -> list[Task]:
    """Give tasks, rows among them read as `load_tasks` reads them."""
    rows = [task for task in tasks if isinstance(task, Mapping)]
    read = iter(load_tasks(rows) if rows else ())
    return [as_task(next(read) if isinstance(task, Mapping) else task) for task in tasks]


def _name(agent: str | Agent) -> str:
    return str(agent) if isinstance(agent, str) else getattr(agent, "name", None) or type(agent).__name__


# --- results ----------------------------------------------------------------------------------------------------------


def _statistics(task: Task, place: int, size: int, traces: list[Trace]) -> dict[str, Any]:
    """Say how the runs of one task went; None is what could not be measured, for no run has a score."""
    rewards = [trace.reward for trace in traces if trace.reward is not None]
    return {
        "task_id": task.id or task.slug or f"task_{place}",
        "prompt": (task.args or {}).get("prompt") or task.label,
        "group_id": traces[0].group_id if traces else None,
        "group_size": size,
        "rewards": rewards,
        "mean_reward": statistics.fmean(rewards) if rewards else None,
        "std_reward": statistics.pstdev(rewards) if rewards else None,
        "min_reward": min(rewards, default=None),
        "max_reward": max(rewards, default=None),
        "success_rate": sum(reward > 0 for reward in rewards) / len(rewards) if rewards else None,
        "error_rate": (size - len(rewards)) / size,
        "coverage": len(rewards) / size,
        "traces": traces,
    }


# --- elsewhere --------------------------------------------------------------------------------------------------------


async def _submit(tasks: list[Task], agent: str | Agent, kernel: Kernel, options: dict[str, Any]) -> None:
    """Hand a job to the platform.

    Raises:
        ConfigError: A task's server is a program of this machine, or there is no such executor.
    """
    for task in tasks:
        if command := _local_command(task):
            raise ConfigError(
                f"task {task.label!r} starts {command!r} on this machine, which a remote platform cannot; give it a "
                "server with a url, or run it here: remote=False"
            )
    executor = kernel.executors.create(PLATFORM)
    try:
        spec = JobSpec(tasks=tasks, agents=(agent,), **options)
    except TypeError as error:
        raise ConfigError(f"a job that is submitted does not take this: {error}") from None
    await executor.submit(spec)


def _local_command(task: Task) -> str | None:
    options = getattr(task.env, "options", None)
    if getattr(task.env, "backend", None) != BACKEND or not isinstance(options, dict):
        return None
    servers = options["mcp_config"].get("mcpServers", options["mcp_config"])
    return next((server["command"] for server in servers.values() if server.get("command")), None)
