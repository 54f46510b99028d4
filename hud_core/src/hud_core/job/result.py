"""What a job gives: its rollouts, and aggregates that say what they leave out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from hud_core.job.statistics import PASS_THRESHOLD, Summary, pass_at_k, pass_hat_k, summarise
from hud_core.model.rollout import NO_USAGE, Rollout, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@frozen(kw_only=True)
class Group:
    """The repeats of one task with one agent and one variant."""

    id: str
    task: str
    agent: str
    variant: dict[str, object]
    rollouts: tuple[Rollout, ...]

    @property
    def rewards(self) -> tuple[float | None, ...]:
        """The rewards in order of the repeats; None where a rollout has no score."""
        return tuple(rollout.reward for rollout in self.rollouts)

    @property
    def scored(self) -> list[float]:
        """The rewards that there are."""
        return [reward for reward in self.rewards if reward is not None]

    @property
    def mean(self) -> float | None:
        """The mean over the scored rollouts, None when there are none."""
        return sum(self.scored) / len(self.scored) if self.scored else None


@frozen(kw_only=True)
class Job:
    """A batch of rollouts, as it ended."""

    id: str
    name: str
    rollouts: tuple[Rollout, ...] = field(repr=lambda rollouts: f"<{len(rollouts)}>")
    """In the order task, agent, variant, repeat; those that never began are not among them."""
    total: int
    """Rollouts that were asked for."""
    directory: Path | None = None
    """The run directory, when there is one."""
    stopped: bool = False
    """Whether the job was stopped before every rollout had ended, by somebody or by its budget."""
    ended: str | None = None
    """Which budget was spent, so that the job called no more models; None where none was."""
    reused: int = 0
    """Rollouts that an earlier run of this job had finished."""
    warnings: tuple[str, ...] = ()
    """What went wrong beside the rollouts, such as events that a sink lost."""

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self.rollouts)

    def __len__(self) -> int:
        return len(self.rollouts)

    def groups(self) -> list[Group]:
        """Group the rollouts by task, agent and variant."""
        members: dict[str, list[Rollout]] = {}
        for rollout in self.rollouts:
            members.setdefault(rollout.group_id, []).append(rollout)
        return [
            Group(id=id_, task=m[0].task, agent=m[0].agent, variant=dict(m[0].variant), rollouts=tuple(m))
            for id_, m in members.items()
        ]

    @property
    def usage(self) -> Usage:
        """What the rollouts used of models, those of an earlier run included."""
        return total_usage(self.rollouts)

    @property
    def reward(self) -> float | None:
        """The mean over the scored rollouts; read it with `coverage`."""
        return self.summary().mean

    @property
    def coverage(self) -> float:
        """The share of the rollouts asked for that have a score."""
        return self.summary().coverage

    def summary(self) -> Summary:
        """Aggregate all rollouts."""
        return summary_of(self.rollouts, self.total)

    def pass_at_k(self, k: int, *, threshold: float = PASS_THRESHOLD) -> float | None:
        """Estimate the chance that at least one of `k` attempts at a task passes (unbiased)."""
        return pass_at_k([group.scored for group in self.groups()], k, threshold=threshold)

    def pass_hat_k(self, k: int, *, threshold: float = PASS_THRESHOLD) -> float | None:
        """Estimate the chance that all of `k` attempts at a task pass."""
        return pass_hat_k([group.scored for group in self.groups()], k, threshold=threshold)


def total_usage(rollouts: Iterable[Rollout]) -> Usage:
    """Add up what rollouts used of models."""
    return sum((rollout.usage for rollout in rollouts), NO_USAGE)


def summary_of(rollouts: Sequence[Rollout], total: int | None = None) -> Summary:
    """Aggregate rollouts, clustered by task."""
    rewards: dict[str, list[float | None]] = {}
    for rollout in rollouts:
        rewards.setdefault(f"{rollout.task_index}", []).append(rollout.reward)
    causes = Counter(rollout.cause.value for rollout in rollouts if rollout.cause is not None)
    return summarise(rewards, causes, len(rollouts) if total is None else total)
