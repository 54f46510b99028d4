"""``hud cancel``: stop jobs that run on a remote platform."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anyio

from hud_core.errors import ConfigError
from hud_huggingface.cancelling import cancel_all_jobs, cancel_job, cancel_task, with_platform

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="the id of the job to stop")
    parser.add_argument("--job", dest="named", metavar="JOB", help="the same")
    parser.add_argument("--task", nargs=2, metavar=("JOB", "TASK"), help="stop one task of a job")
    parser.add_argument("-a", "--all", action="store_true", help="stop all of your jobs")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing")
    parser.add_argument("--json", action="store_true", help="print what was stopped as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ConfigError: Not exactly one thing is to be stopped, nobody can be asked, or no remote platform is configured.
    """
    given = [arguments.job, arguments.named, arguments.task, arguments.all]
    if sum(bool(value) for value in given) != 1:
        raise ConfigError("say what to stop: --job JOB, --task JOB TASK or --all")
    with_platform(arguments.kernel)  # nobody is asked about what cannot be
    job = arguments.job or arguments.named
    if arguments.all and not _is_sure(arguments, "stop ALL of your jobs?", default=False):
        return 0
    if job and not _is_sure(arguments, f"stop job {job}?", default=True):
        return 0
    found: dict[str, Any] = anyio.run(_cancel, arguments, job)
    sys.stdout.write(f"{json.dumps(found, indent=2) if arguments.json else _readable(found)}\n")
    return 0


async def _cancel(arguments: argparse.Namespace, job: str | None) -> dict[str, Any]:
    if arguments.all:
        return await cancel_all_jobs(kernel=arguments.kernel)
    if arguments.task:
        return await cancel_task(*arguments.task, kernel=arguments.kernel)
    return await cancel_job(job or "", kernel=arguments.kernel)


def _is_sure(arguments: argparse.Namespace, question: str, *, default: bool) -> bool:
    """Ask whoever sits at the terminal.

    Raises:
        ConfigError: Nobody does, and ``--yes`` was not given.
    """
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} nobody is there to answer; say --yes")
    sys.stderr.write(f"{question} [{'Y/n' if default else 'y/N'}] ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    return answer in ("y", "yes") or (default and not answer)


def _readable(found: dict[str, Any]) -> str:
    if "job_details" in found:
        if not found["job_details"]:
            return "no active jobs"
        lines = [f"  {job['job_id']}: {job['cancelled']} tasks" for job in found["job_details"]]
        return "\n".join([f"stopped {found['jobs_cancelled']} jobs, {found['total_tasks_cancelled']} tasks", *lines])
    what = f"task {found['task_id']} of job {found['job_id']}" if "task_id" in found else f"job {found['job_id']}"
    if not found["total_found"]:
        return f"{what}: there is nothing to stop"
    return f"{what}: stopped {found['cancelled']} of {found['total_found']} tasks"
