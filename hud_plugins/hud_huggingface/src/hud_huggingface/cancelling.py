"""`cancel_job`, `cancel_task` and `cancel_all_jobs`: stop jobs that run on a remote platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError
from hud_core.kernel import Kernel
from hud_huggingface.running import PLATFORM

if TYPE_CHECKING:
    from hud_core.interfaces import Cancelled, Executor

__all__ = ["cancel_all_jobs", "cancel_job", "cancel_task"]


async def cancel_job(job_id: str, *, kernel: Kernel | None = None) -> dict[str, Any]:
    """Stop a job that was submitted to a remote platform.

    Args:
        job_id: The job.
        kernel: The plugins to use; by default a kernel with every installed plugin.

    Returns:
        ``job_id``, ``total_found`` and ``cancelled``: how many of its tasks had not ended, and how many were stopped.

    Raises:
        ConfigError: No remote platform is configured, or the id is empty.
    """
    found = await _executor(kernel).cancel(_id(job_id, "job_id"))
    return {"job_id": job_id, "total_found": found.found, "cancelled": sum(found.jobs.values())}


async def cancel_task(job_id: str, task_id: str, *, kernel: Kernel | None = None) -> dict[str, Any]:
    """Stop one task of such a job; arguments, result and errors as for `cancel_job`."""
    found = await _executor(kernel).cancel(_id(job_id, "job_id"), _id(task_id, "task_id"))
    counts = {"total_found": found.found, "cancelled": sum(found.jobs.values())}
    return {"job_id": job_id, "task_id": task_id, **counts}


async def cancel_all_jobs(*, kernel: Kernel | None = None) -> dict[str, Any]:
    """Stop every job of yours that runs on a remote platform.

    Returns:
        ``jobs_cancelled``, ``total_tasks_cancelled``, and ``job_details`` with ``job_id`` and ``cancelled`` of each.
    """
    found: Cancelled = await _executor(kernel).cancel()
    details = [{"job_id": job, "cancelled": count} for job, count in found.jobs.items()]
    return {
        "jobs_cancelled": len(details),
        "total_tasks_cancelled": sum(found.jobs.values()),
        "job_details": details,
    }


def with_platform(kernel: Kernel | None) -> Kernel:
    """Give a kernel that has a remote platform.

    Raises:
        ConfigError: None is configured.
    """
    kernel = kernel or Kernel()
    if PLATFORM not in kernel.executors:
        msg = (
            "no remote platform is configured, so no job runs there: pip install hud-platform; "
            "a job of this machine is stopped with Ctrl-C where it runs"
        )
        raise ConfigError(msg)
    return kernel


def _executor(kernel: Kernel | None) -> Executor:
    return with_platform(kernel).executors.create(PLATFORM)


def _id(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        msg = f"{name} must be the id of one, got {value!r}"
        raise ConfigError(msg)
    return value
