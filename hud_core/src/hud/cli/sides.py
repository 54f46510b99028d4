"""What `hud compare` compares: one agent's rollouts of one run, on each side."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hud.cli.records import by_agent, contestant, job_of, run_name
from hud.cli.runs import find
from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hud_core.job import Job, Summary
    from hud_core.model.rollout import Fingerprint, Rollout

SHOWN = 5
"""Tasks that a message names."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One agent's rollouts of one run."""

    run: str
    """What commands call the run."""
    agent: str
    """The agent, with its variant."""
    directory: Path
    rollouts: tuple[Rollout, ...] = field(repr=False)
    total: int
    """Rollouts that were asked for."""

    @property
    def summary(self) -> Summary:
        """The aggregates of all of its rollouts."""
        from hud_core.job.result import summary_of

        return summary_of(self.rollouts, self.total)

    def notes(self, label: str) -> Iterator[str]:
        """Say what a reader should know of this side."""
        from hud.cli.evaluate.resume import is_locked

        if any(rollout.sees_solution for rollout in self.rollouts):
            yield f"{label} was shown the solutions of the tasks, so it is no contestant"
        if is_locked(self.directory):
            yield f"run {self.run} is still running"

    def tasks(self) -> dict[str, list[Rollout]]:
        """Group the rollouts by task, under names that are the same in every run of the tasks.

        A task is known by its label; of several with one label, by its place among them.
        """
        labels = {rollout.task_index: rollout.task for rollout in self.rollouts}
        names: dict[int, str] = {}
        seen: dict[str, int] = {}
        for index, label in sorted(labels.items()):
            seen[label] = seen.get(label, 0) + 1
            names[index] = label if seen[label] == 1 else f"{label} ({seen[label]})"
        found: dict[str, list[Rollout]] = {names[index]: [] for index in sorted(names)}
        for rollout in sorted(self.rollouts, key=lambda rollout: rollout.repeat):
            found[names[rollout.task_index]].append(rollout)
        return found


def find_sides(first: str, second: str | None) -> tuple[Side, Side]:
    """Find two sides: two of ``RUN`` or ``RUN:AGENT``, or the two agents of one run.

    Raises:
        ConfigError: There is no such run or agent, or it is not clear which agent is meant.
    """
    if second is None:
        match _all_of(first):
            case [one, other]:
                return one, other
            case sides:
                raise ConfigError(f"name two sides to compare, {_choices(sides)}")
    one, other = _side(first), _side(second)
    if (one.directory.resolve(), one.agent) == (other.directory.resolve(), other.agent):
        raise ConfigError(f"both sides are {one.agent} of run {one.run}; name another run or agent")
    return one, other


def _side(name: str) -> Side:
    run, _, agent = (name, "", "") if (Path(name) / "job.json").is_file() else name.partition(":")
    sides = _all_of(run)
    found = [side for side in sides if agent in (side.agent, side.rollouts[0].agent)] if agent else sides
    if len(found) != 1:
        exact = [side for side in found if side.agent == agent]
        if len(exact) == 1:
            return exact[0]
        near = closest(agent, [side.agent for side in sides]) if agent and not found else ""
        raise ConfigError(f"which agent of {name!r}{near}: {_choices(sides)}")
    return found[0]


def _choices(sides: Sequence[Side]) -> str:
    listed = ", ".join(f"'{side.run}:{side.agent}'" for side in sides)
    return f"there are {listed}" if len(sides) > 1 else f"there is only {listed}"


def _all_of(run: str) -> list[Side]:
    """Give every agent of a run, in the order in which the run names them."""
    from hud_core.job.directory import read_manifest

    path = find(run)
    job: Job = job_of(path)
    agents = by_agent(job.rollouts)
    if not agents:
        raise ConfigError(f"no rollout of {path} has ended, so there is nothing to compare")
    order = [(agent["name"], agent["variant"]) for agent in read_manifest(path).get("agents", ())]
    agents.sort(key=lambda m: order.index(key) if (key := (m[0].agent, m[0].variant)) in order else len(order))
    return [
        Side(
            run=run_name(path),
            agent=contestant(members[0]),
            directory=path,
            rollouts=tuple(members),
            total=max(job.total // max(len(order), len(agents)), len(members)),
        )
        for members in agents
    ]


def check_same_tasks(first: dict[str, list[Rollout]], second: dict[str, list[Rollout]]) -> None:
    """Refuse tasks that have one name and are not one task.

    Raises:
        ConfigError: Scenario, arguments or agent config of such a task are others on the other side.
    """
    others = list(_changed(first, second, "task"))
    if others:
        named = ", ".join(others[:SHOWN]) + (f", ... ({len(others):,} in all)" if len(others) > SHOWN else "")
        raise ConfigError(
            f"these tasks have one name and are not the same task on both sides, as their arguments or settings say: "
            f"{named}; run both sides on one version of the tasks, or compare all the same with --force"
        )


def notes(first: dict[str, list[Rollout]], second: dict[str, list[Rollout]]) -> list[str]:
    """Say what else differs between the sides, beside the agents."""
    found = []
    for part, what in (("environment", "run in another version of its environment"), ("grader", "graded otherwise")):
        if count := len(list(_changed(first, second, part))):
            found.append(f"{count:,} {'task was' if count == 1 else 'tasks were'} {what} on the second side")
    return found


def _changed(first: dict[str, list[Rollout]], second: dict[str, list[Rollout]], part: str) -> Iterator[str]:
    for task in first.keys() & second.keys():
        one, other = (_digests(rollouts, part) for rollouts in (first[task], second[task]))
        if one and other and one != other:
            yield task


def _digests(rollouts: Sequence[Rollout], part: str) -> set[str]:
    fingerprints: list[Fingerprint] = [r.fingerprint for r in rollouts if r.fingerprint is not None]
    return {digest for fingerprint in fingerprints if (digest := getattr(fingerprint, part)) is not None}
