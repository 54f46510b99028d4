"""`run`: the front door to jobs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hud_core.entrypoints import own_version
from hud_core.errors import ConfigError
from hud_core.interfaces import Agent
from hud_core.job.control import JobControl
from hud_core.job.limits import Retries, Timeouts
from hud_core.job.plan import JobSpec, Tasks
from hud_core.job.runner import Runner
from hud_core.kernel import Kernel
from hud_core.metering.budget import Budget
from hud_core.settings import mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_core.interfaces import ResultSink
    from hud_core.job.directory import Finished, RunDirectory
    from hud_core.job.result import Job


async def run(
    tasks: Tasks,
    agent: Agent | str | Sequence[Agent | str],
    *,
    name: str = "",
    group: int = 1,
    variants: Mapping[str, Any] | None = None,
    agent_options: Mapping[str, Any] | None = None,
    max_concurrent: int = 30,
    max_steps: int = 10,
    timeouts: Timeouts | None = None,
    retries: Retries | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    max_time: float | None = None,
    rollout_max_cost: float | None = None,
    rollout_max_tokens: int | None = None,
    rollout_max_time: float | None = None,
    prices: Path | str | None = None,
    cache: bool | Path | str = False,
    backend: str | None = None,
    allowed_tools: Sequence[str] | None = None,
    disallowed_tools: Sequence[str] = (),
    seed: int | None = None,
    sinks: Iterable[ResultSink | str] = (),
    kernel: Kernel | None = None,
    save: bool = True,
    directory: Path | str | None = None,
    resume: bool = False,
    manifest: Mapping[str, Any] | None = None,
    control: JobControl | None = None,
) -> Job:
    """Run agents on tasks: tasks x agents x variants x group rollouts.

    Whatever goes wrong inside a rollout is its outcome; it never ends the job or another rollout.

    Args:
        tasks: A task, tasks, a stream of tasks, or the name of a source such as ``"tasks.py"``.
        agent: An agent, its name, the name of a model that an installed agent runs, or several of them.
        name: What people call the job.
        group: Repeats of each task.
        variants: Settings of the agent to compare: each list is a choice, every combination is run.
        agent_options: Settings for agents given by name.
        max_concurrent: Rollouts at once.
        max_steps: Model turns of one rollout at the most.
        timeouts: Deadlines of the phases.
        retries: When a failed attempt is tried again.
        max_cost: Dollars that the job may spend on models. Once it is spent no model is called and no rollout begun;
            rollouts that run end with the cause ``budget``, and a resumed job runs them again.
        max_tokens: Input and output tokens that the job may use.
        max_time: Seconds that this run of the job may take.
        rollout_max_cost: Dollars that each rollout may spend on models; one that needs more ends with ``budget``.
        rollout_max_tokens: Input and output tokens that each rollout may use.
        rollout_max_time: Seconds that each rollout may take, with its retries.
        prices: A file with prices of models, which count before those of ``~/.hud/prices.toml`` and the built-in ones.
        cache: Whether to keep answers of models in ``.hud/cache``, or in which folder, and to use those kept there.
        backend: What opens environments of this process: ``local`` by default, ``process`` to isolate each rollout.
        allowed_tools: `fnmatch` patterns; other tools are hidden from agents.
        disallowed_tools: `fnmatch` patterns; these tools are hidden from agents.
        seed: For backends that can seed an environment; repeat n gets ``seed + n``.
        sinks: Where events go, beside the run directory: sinks, or the names of installed ones.
        kernel: The plugins to use; by default a kernel with every installed plugin.
        save: Whether to keep a run directory.
        directory: The run directory; ``.hud/runs/<job>`` by default.
        resume: Go on with the job in `directory`: rollouts with a score are kept, unless what they depend on changed.
        manifest: Anything to keep in the run directory's ``job.json``.
        control: Shows the progress and stops the job.

    Raises:
        ConfigError: Something that was asked for cannot be.
        TaskDataError: Graders that a task names, or their options, are wrong; nothing of it ran.
        RunDirectoryError: The run directory cannot be written; what it holds stays readable.
    """
    kernel = kernel or Kernel()
    spec = JobSpec(
        tasks=tasks,
        agents=(agent,) if isinstance(agent, str | Agent) or not isinstance(agent, Iterable) else tuple(agent),
        name=name,
        group=group,
        variants=variants or {},
        agent_options=agent_options or {},
        max_concurrent=max_concurrent,
        max_steps=max_steps,
        timeouts=timeouts or Timeouts(),
        retries=retries or Retries(),
        budget=Budget(cost=max_cost, tokens=max_tokens, seconds=max_time),
        rollout_budget=Budget(cost=rollout_max_cost, tokens=rollout_max_tokens, seconds=rollout_max_time),
        prices=None if prices is None else Path(prices),
        cache=_cache(cache),
        backend=backend,
        allowed_tools=None if allowed_tools is None else tuple(allowed_tools),
        disallowed_tools=tuple(disallowed_tools),
        seed=seed,
        sinks=tuple(kernel.result_sinks.create(sink) if isinstance(sink, str) else sink for sink in sinks),
        kernel=kernel,
        directory=_directory(save=save, directory=directory, resume=resume),
        resume=resume,
        manifest=manifest or {},
    )
    return await run_job(spec, control or JobControl())


async def run_job(spec: JobSpec, control: JobControl) -> Job:
    """Run the job that a spec describes; results and errors as for `run`."""
    runner = Runner(spec, control, _new_id() if spec.directory is None else spec.directory.name)
    runner.meter.prices.check()
    if runner.meter.counts_dollars:
        for model in {model for contestant in runner.contestants for model in contestant.agent.called_models}:
            runner.meter.prices.require(model)
    if spec.directory is None:
        return await runner.run()
    runner.directory, runner.finished = _open(spec.directory, spec, runner)
    try:
        return await runner.run()
    finally:
        runner.directory.close()


def _open(path: Path, spec: JobSpec, runner: Runner) -> tuple[RunDirectory, dict[str, Finished]]:
    from hud_core.job.directory import RunDirectory, read_scored, read_spending

    if not spec.resume:
        return RunDirectory.create(path, _manifest(spec, runner)), {}
    directory = RunDirectory.reopen(path)
    if spec.budget.limits_calls:
        runner.meter.purse.spent = read_spending(path, runner.meter.prices)
    return directory, read_scored(path)


def _manifest(spec: JobSpec, runner: Runner) -> dict[str, Any]:
    import time

    return {
        "id": runner.job_id,
        "name": spec.name,
        "hud_core": own_version(),
        "started": time.time(),
        "source": spec.tasks if isinstance(spec.tasks, str) else None,
        "agents": [
            {"key": c.key, "name": c.name, "variant": c.variant, "fingerprint": c.agent.fingerprint}
            for c in runner.contestants
        ],
        "group": spec.group,
        "max_steps": spec.max_steps,
        "max_concurrent": spec.max_concurrent,
        "backend": spec.backend,
        "seed": spec.seed,
        "budget": attrs.asdict(spec.budget),
        "rollout_budget": attrs.asdict(spec.rollout_budget),
        "cache": None if spec.cache is None else str(spec.cache),
        **mask(spec.manifest),
    }


def _directory(*, save: bool, directory: Path | str | None, resume: bool) -> Path | None:
    from hud_core.job.directory import RUNS

    if directory is not None:
        return Path(directory)
    if resume:
        msg = "resume needs the directory of the job to go on with"
        raise ConfigError(msg)
    return RUNS / _new_id() if save else None


def _cache(cache: bool | Path | str) -> Path | None:  # noqa: FBT001  the value of the option
    from hud_core.metering.cache import CACHE

    if isinstance(cache, bool):
        return CACHE if cache else None
    return Path(cache)


def _new_id() -> str:
    from hud_core.job.directory import new_job_id

    return new_job_id()
