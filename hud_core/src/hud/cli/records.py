"""What `hud eval` keeps in a run directory beside the kernel's own files, and what is read back of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hud_core.environment.json_codec import to_json_data
from hud_core.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hud_core.job import Job, Summary
    from hud_core.model.rollout import Rollout

SUMMARY = "summary.json"
"""The aggregates of a run that ended; missing while it runs, or when its process was killed."""


def summary_data(summary: Summary) -> dict[str, Any]:
    """Give a summary as JSON data, with the coverage that it has as a property."""
    data: dict[str, Any] = to_json_data(summary)
    return {**data, "coverage": summary.coverage}


def rollout_data(rollouts: Iterable[Rollout], directory: Path | None) -> list[dict[str, Any]]:
    """Give records as JSON data; one that holds a grader's own objects as the run directory keeps it."""
    stored: dict[str, Rollout] = {}
    found = []
    for rollout in rollouts:
        try:
            found.append(to_json_data(rollout))
        except TypeError:
            stored = stored or _stored(directory)
            found.append(to_json_data(stored[rollout.id]))
    return found


def _stored(directory: Path | None) -> dict[str, Rollout]:
    from hud_core.job.directory import read_rollouts

    return {rollout.id: rollout for rollout in read_rollouts(directory)} if directory else {}


def job_data(job: Job) -> dict[str, Any]:
    """Give everything about a job but its rollouts."""
    return {
        "job": job.id,
        "name": job.name,
        "directory": None if job.directory is None else str(job.directory),
        "total": job.total,
        "reused": job.reused,
        "stopped": job.stopped,
        "ended": job.ended,
        "warnings": list(job.warnings),
        "summary": summary_data(job.summary()),
        "usage": to_json_data(job.usage),
        "agents": agents_data(job.rollouts),
    }


def agents_data(rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """Aggregate each agent with each variant by itself."""
    from hud_core.job.result import summary_of, total_usage

    return [
        {
            "agent": members[0].agent,
            "variant": dict(members[0].variant),
            "summary": summary_data(summary_of(members)),
            "usage": to_json_data(total_usage(members)),
        }
        for members in by_agent(rollouts)
    ]


def by_agent(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Group rollouts by agent and variant, in order of appearance."""
    found: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        found.setdefault(contestant(rollout), []).append(rollout)
    return list(found.values())


def contestant(rollout: Rollout) -> str:
    """Name who attempted a rollout: the agent, with the variant's settings."""
    settings = ", ".join(f"{key}={value}" for key, value in rollout.variant.items())
    return f"{rollout.agent} {settings}".rstrip()


def write_summary(job: Job) -> None:
    """Keep a job's aggregates in its run directory."""
    if job.directory is None:
        return
    write_whole(job.directory / SUMMARY, json.dumps(job_data(job), indent=2).encode() + b"\n")


def forget_summary(path: Path) -> None:
    """Take a run's aggregates away, because it goes on."""
    (path / SUMMARY).unlink(missing_ok=True)


def read_summary(path: Path) -> dict[str, Any] | None:
    """Read a run's aggregates, if it ended."""
    try:
        data: dict[str, Any] = json.loads((path / SUMMARY).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return data


def is_finished(path: Path) -> bool:
    """Whether every rollout of a run has a score."""
    summary = read_summary(path)
    if summary is not None:
        return bool(summary["summary"]["scored"] >= summary["total"])
    from hud_core.job.directory import read_manifest, read_rollouts

    total = read_manifest(path).get("total")
    return total is not None and sum(rollout.is_scored for rollout in read_rollouts(path)) >= total


def run_name(directory: Path) -> str:
    """Give what commands call a run: its id where that is enough to find it, else its path."""
    from hud_core.job.directory import RUNS

    return directory.name if directory.resolve().parent == RUNS.resolve() else str(directory)


def job_of(path: Path) -> Job:
    """Read a run back as a job."""
    from hud_core.job import Job
    from hud_core.job.directory import read_manifest, read_rollouts

    manifest, summary = read_manifest(path), read_summary(path) or {}
    rollouts = sorted(read_rollouts(path), key=lambda rollout: (rollout.task_index, rollout.id))
    total = summary.get("total") or manifest.get("total") or len(rollouts)
    return Job(
        id=manifest["id"],
        name=manifest.get("name") or "",
        rollouts=tuple(rollouts),
        total=max(total, len(rollouts)),
        directory=path,
        stopped=bool(summary.get("stopped")),
        ended=summary.get("ended"),
        reused=summary.get("reused", 0),
        warnings=tuple(summary.get("warnings", ())),
    )
