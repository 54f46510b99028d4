"""Jobs: tasks x agents x variants x group, run under deadlines and kept in a run directory."""

from __future__ import annotations

from hud_core.job.batch import EvalBatch, evaluate
from hud_core.job.context import EvalContext
from hud_core.job.control import JobControl, Progress
from hud_core.job.entry import run, run_job
from hud_core.job.limits import Retries, Timeouts
from hud_core.job.result import Group, Job
from hud_core.job.statistics import Summary

__all__ = [
    "EvalBatch", "EvalContext", "Group", "Job", "JobControl", "Progress", "Retries", "Summary", "Timeouts", "evaluate",
    "run",
    "run_job",
]  # fmt: skip
