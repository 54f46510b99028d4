"""Jobs: tasks x agents x variants x group, run under deadlines and kept in a run directory.

What drives rollouts by hand is in `hud_core.job.batch`; few programs need both.
"""

from __future__ import annotations

from hud_core.job.control import JobControl, Progress
from hud_core.job.entry import run, run_job
from hud_core.job.limits import Retries, Timeouts
from hud_core.job.result import Group, Job
from hud_core.job.statistics import Summary

__all__ = ["Group", "Job", "JobControl", "Progress", "Retries", "Summary", "Timeouts", "run", "run_job"]
