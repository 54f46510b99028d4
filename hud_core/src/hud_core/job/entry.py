"""`run`: the front door to jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.entrypoints import own_version
from hud_core.errors import ConfigError
from hud_core.interfaces import Agent
from hud_core.job.control import JobControl
from hud_core.job.limits import Retries, Timeouts
from hud_core.job.plan import JobSpec, Tasks
from hud_core.job.runner import Runner
from hud_core.kernel import Kernel
from hud_core.settings import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        agents=(agent,) if isinstance(agent, str | Agent) else tuple(agent),
        name=name,
        group=group,
        variants=variants or {},
        agent_options=agent_options or {},
        max_concurrent=max_concurrent,
        max_steps=max_steps,
        timeouts=timeouts or Timeouts(),
        retries=retries or Retries(),
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
    if spec.directory is None:
        return await Runner(spec, control, _new_id()).run()
    runner = Runner(spec, control, spec.directory.name)
    runner.directory, runner.finished = _open(spec.directory, spec, runner)
    try:
        return await runner.run()
    finally:
        runner.directory.close()


def _open(path: Path, spec: JobSpec, runner: Runner) -> tuple[RunDirectory, dict[str, Finished]]:
    from hud_core.job.directory import RunDirectory, read_scored

    if not spec.resume:
        return RunDirectory.create(path, _manifest(spec, runner)), {}
    directory = RunDirectory.reopen(path)
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


def _new_id() -> str:
    from hud_core.job.directory import new_job_id

    return new_job_id()
