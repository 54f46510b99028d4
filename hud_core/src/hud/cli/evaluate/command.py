"""``hud eval`` from beginning to end."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from msgspec import structs

from hud.cli.console import Ink, complain, emit, first_line, is_terminal, say, stdout_is_talk, width_of
from hud.cli.evaluate.agents import find_agent
from hud.cli.evaluate.interrupt import Interrupts
from hud.cli.evaluate.live import Display, choose_display
from hud.cli.evaluate.resume import (
    find_unfinished,
    forecast,
    manifest,
    may_go_on,
    read_settings,
    tell,
)
from hud.cli.evaluate.settings import BUDGETS, Output, Settings, output_of, provider_name, read_layers, settle
from hud.cli.evaluate.tasks import describe, find_source, select
from hud.cli.evaluate.values import resolve
from hud.cli.exits import Exit
from hud.cli.records import contestant, forget_summary, job_data, rollout_data, run_name, write_summary
from hud_core.environment.references import bare_urls
from hud_core.errors import Cause, RunDirectoryError
from hud_core.interfaces import ResultSink
from hud_core.job import JobControl, Timeouts
from hud_core.job import run as run_job
from hud_core.job.directory import RUNS, new_job_id

if TYPE_CHECKING:
    import argparse

    from hud.cli.evaluate.tasks import Selection
    from hud_core.job import Job
    from hud_core.kernel import Kernel
    from hud_core.model.events import Event

LOOK_SECONDS = 0.1
"""How often the display and Ctrl-C are looked at."""


class Plan(NamedTuple):
    """One call of ``hud eval``: what to run, where to keep it, how to talk."""

    settings: Settings
    output: Output
    directory: Path
    kernel: Kernel
    is_resumed: bool = False


def evaluate(arguments: argparse.Namespace) -> int:
    """Run a job, or go on with one, and print its result."""
    plan = _plan_resumed(arguments) if arguments.resume is not None else _plan_new(arguments)
    _set_up_logging(plan.output.verbose)
    job = anyio.run(_execute, plan)
    if job is None:
        return Exit.FAILED
    return _conclude(job, plan)


def _plan_new(arguments: argparse.Namespace) -> Plan:
    kernel: Kernel = arguments.kernel
    layers = read_layers(arguments)
    output = output_of(layers.values, arguments)
    source = find_source(layers.values, kernel)
    if split := layers.values.get("split"):
        source = kernel.source_for(source).with_split(source, split)
    settings = settle(layers, source, find_agent(layers, kernel), kernel)
    directory = Path(arguments.out) if arguments.out else RUNS / new_job_id()
    return Plan(settings=settings, output=output, directory=directory, kernel=kernel)


def _plan_resumed(arguments: argparse.Namespace) -> Plan:
    directory = find_unfinished(arguments.resume)
    settings, output = read_settings(directory, arguments)
    return Plan(
        settings=settings,
        output=output,
        directory=directory,
        kernel=arguments.kernel,
        is_resumed=True,
    )


def _set_up_logging(verbose: int) -> None:
    if verbose > 1:
        import logging

        class Bare(logging.Formatter):
            """HTTP clients log each request, and keys may stand in its address."""

            def format(self, record: logging.LogRecord) -> str:
                return bare_urls(super().format(record))

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Bare("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        logging.getLogger("hud").setLevel(logging.DEBUG)


# --- running ----------------------------------------------------------------------------------------------------------


async def _execute(plan: Plan) -> Job | None:
    """Run the plan's job; give None when the person at the terminal decided against it."""
    async with AsyncExitStack() as stack:
        stack.enter_context(stdout_is_talk())
        if not plan.is_resumed:
            plan = await _pinned(plan)
        selection = await stack.enter_async_context(select(plan.settings, plan.kernel))
        request = _request(plan, selection)
        if plan.is_resumed and not await _agree(plan, request):
            return None
        if not plan.output.quiet:
            _introduce(plan, selection)
        forget_summary(plan.directory)
        return await _watched(plan, request)


async def _pinned(plan: Plan) -> Plan:
    """Record what the source means now, for a later `--resume`."""
    source = plan.settings.source
    exact = await plan.kernel.source_for(source).pin(source)
    return plan._replace(settings=structs.replace(plan.settings, source=exact))


def _request(plan: Plan, selection: Selection) -> dict[str, Any]:
    """Put together what `hud_core.job.run` is asked for."""
    settings = plan.settings
    return {
        "tasks": selection.tasks,
        "agent": settings.agent,
        "agent_options": resolve(settings.options, provider_name(settings.agent, plan.kernel)),
        "variants": resolve(settings.variants, "variant"),
        "name": settings.name,
        "group": settings.group_size,
        "max_concurrent": settings.max_concurrent,
        "max_steps": settings.max_steps,
        "timeouts": Timeouts(agent=settings.timeout),
        **{name: getattr(settings, name) for name in BUDGETS},
        "prices": settings.prices,
        "cache": settings.cache,
        "backend": "process" if settings.isolate else None,
        "allowed_tools": settings.allowed_tools,
        "disallowed_tools": settings.disallowed_tools,
        "seed": settings.seed,
        "directory": plan.directory,
        "resume": plan.is_resumed,
        "manifest": manifest(settings, describe(selection, settings)),
        "kernel": plan.kernel,
    }


async def _agree(plan: Plan, request: dict[str, Any]) -> bool:
    """Say what of the earlier run is kept, and ask where something with a score would run again."""
    from hud_core.job.plan import JobSpec

    async with AsyncExitStack() as stack:
        tasks = request["tasks"]
        if not isinstance(tasks, list):  # a stream can be read once: this is a second one
            tasks = (await stack.enter_async_context(select(plan.settings, plan.kernel))).tasks
        spec = JobSpec(
            tasks=tasks,
            agents=(request["agent"],),
            kernel=plan.kernel,
            **{key: request[key] for key in ("group", "variants", "agent_options")},
        )
        found = await forecast(spec, plan.directory)
    tell(plan.directory, found, quiet=plan.output.quiet)
    return may_go_on(found, yes=plan.output.yes)


def _introduce(plan: Plan, selection: Selection) -> None:
    settings = plan.settings
    if selection.remark:
        say(selection.remark)
    if plan.kernel.failures:
        complain("warning", f"{len(plan.kernel.failures)} plugin problem(s): see `hud plugins`")
    tasks = "tasks" if selection.total is None else f"{selection.total:,} task{'s' * (selection.total != 1)}"
    repeats = f" x {settings.group_size}" if settings.group_size > 1 else ""
    ink = Ink(sys.stderr)
    say(
        f"{ink.bold(settings.source)}: {tasks}{repeats} with {ink.bold(settings.agent)}, run {run_name(plan.directory)}"
    )


async def _watched(plan: Plan, request: dict[str, Any]) -> Job | None:
    """Run the job while somebody looks at its progress and at Ctrl-C."""
    control = JobControl()
    uses_terminal = _uses_terminal(plan)
    job: Job | None = None
    problem: Exception | None = None
    with Interrupts() as interrupts, choose_display(quiet=plan.output.quiet, can_draw=not uses_terminal) as display:
        sinks = [RolloutLines()] if plan.output.verbose else []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_look, control, interrupts, display, plan.output)
            try:
                job = await run_job(**request, sinks=sinks, control=control)
            except Exception as error:  # noqa: BLE001  raised again below, outside the group, which would wrap it
                problem = error
            finally:
                tasks.cancel_scope.cancel()
    if isinstance(problem, RunDirectoryError):
        problem.add_note(f"go on with it: hud eval --resume {run_name(plan.directory)}")
    if problem is not None:
        raise problem
    return job


def _uses_terminal(plan: Plan) -> bool:
    """Whether the agent itself talks to the person at the terminal: its class says ``uses_terminal = True``."""
    provider = plan.kernel.agents.get(provider_name(plan.settings.agent, plan.kernel))
    return provider is not None and bool(getattr(provider.load(), "uses_terminal", False))


async def _look(control: JobControl, interrupts: Interrupts, display: Display, output: Output) -> None:
    while True:
        display.update(control.progress)
        if interrupts.pressed and not control.stopped:
            if not output.quiet:
                display.note("stopping, what is done is kept; Ctrl-C again quits at once")
            control.stop()
        await anyio.sleep(LOOK_SECONDS)


class RolloutLines(ResultSink):
    """Prints a line for each rollout that ends, for ``-v``."""

    async def handle(self, event: Event) -> None:
        """Print the line."""
        if event.type == "rollout_finished":
            record = event.record
            score = f"{record.reward:.3f}" if record.reward is not None else f"invalid ({record.cause})"
            error = f"  {first_line(record.error)}" if record.error else ""
            say(f"{score}  {record.task}  {contestant(record)} #{record.repeat}  {record.seconds:.1f}s{error}")


# --- the end ----------------------------------------------------------------------------------------------------------


def _conclude(job: Job, plan: Plan) -> int:
    for warning in job.warnings:
        complain("warning", warning)
    try:
        write_summary(job)
    except OSError as error:
        complain("warning", f"cannot keep the summary in {plan.directory}: {error.strerror}")
    if plan.output.json:
        emit(json.dumps({**job_data(job), "rollouts": rollout_data(job.rollouts, job.directory)}, indent=2))
    else:
        _print_report(job)
    return _exit_code(job, plan)


def _print_report(job: Job) -> None:
    from hud.cli.report import lines

    ink = Ink(sys.stdout)
    for line in lines(job, ink, width_of(sys.stdout)):
        emit(line)
    if is_terminal(sys.stdout) and job.rollouts and job.directory is not None:
        emit(ink.dim(f"read one: hud trace {run_name(job.directory)} {_worth_reading(job)}"))


def _worth_reading(job: Job) -> str:
    import shlex

    worst = min(job.rollouts, key=lambda rollout: (rollout.is_scored, rollout.reward or 0.0))
    return shlex.quote(worst.task) if worst.task == worst.id.partition("/")[0] else str(worst.task_index)


def _over_budget(job: Job, plan: Plan) -> int:
    """Say which budget is spent, and how to go on with what is left to run."""
    left = job.total - sum(rollout.cause is not Cause.BUDGET for rollout in job.rollouts)
    complain("budget", job.ended or "")
    if not left:
        return Exit.OK if job.summary().scored else Exit.FAILED
    say(f"{left:,} of {job.total:,} rollouts are left; go on: {_going_on(plan)}")
    return Exit.FAILED


def _going_on(plan: Plan) -> str:
    """Give the command that goes on with twice the budget of the job; its time begins anew with each run."""
    limits = {name: getattr(plan.settings, name) for name in ("max_cost", "max_tokens")}
    given = [f"--{name.replace('_', '-')} {2 * limit}" for name, limit in limits.items() if limit is not None]
    return " ".join(["hud eval --resume", run_name(plan.directory), *given])


def _exit_code(job: Job, plan: Plan) -> int:
    if job.ended is not None:
        return _over_budget(job, plan)
    if job.stopped:
        done = sum(1 for rollout in job.rollouts if rollout.cause != "cancelled")
        say(
            f"stopped: {done:,} of {job.total:,} rollouts are done; go on: hud eval --resume {run_name(plan.directory)}"
        )
        return Exit.INTERRUPTED
    least = plan.output.min_coverage
    if least is not None and job.coverage < least:
        complain("error", f"coverage {job.coverage:.3f} is below --min-coverage {least:g}")
        return Exit.FAILED
    return Exit.OK if job.summary().scored else Exit.FAILED
