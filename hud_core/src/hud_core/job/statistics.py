"""Aggregates that say what they leave out.

Formulas: pass@k is the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374); pass^k is that of Yao et al. 2024
(arXiv 2406.12045); the standard error is clustered by task as in Miller 2024 (arXiv 2411.00640), with the usual
correction G/(G-1) for G clusters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PASS_THRESHOLD = 1.0
"""A rollout passes when its reward is at least this."""

_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom."""
_Z_975 = 1.959964


@frozen(kw_only=True)
class Summary:
    """What a set of rollouts says, and how much of it is missing."""

    total: int
    scored: int
    mean: float | None
    """Over the scored rollouts; None when there are none."""
    lower: float | None
    """The mean if every missing reward were 0; None where a reward outside 0 to 1 shows that this is no bound."""
    upper: float | None
    """The mean if every missing reward were 1; None as for `lower`."""
    stderr: float | None
    """Standard error of the mean, clustered by task; None with fewer than two tasks."""
    interval: tuple[float, float] | None
    """95 % confidence interval of the mean, from `stderr` and Student's t; no more than 0 to 1 where all rewards are.

    None where every task has the same mean: rewards that do not differ say nothing of how far they might.
    """
    population_std: float | None
    """Standard deviation of these rewards themselves, not an estimate for others."""
    passed: int
    """Scored rollouts with a reward of at least `PASS_THRESHOLD`."""
    causes: dict[str, int]
    """Invalid rollouts by cause."""

    @property
    def coverage(self) -> float:
        """The share of rollouts that have a score."""
        return self.scored / self.total if self.total else 0.0


def summarise(rewards: Mapping[str, Sequence[float | None]], causes: Mapping[str, int], total: int) -> Summary:
    """Aggregate rewards that are grouped by task; None stands for a rollout without a score.

    Args:
        rewards: The rewards of each task.
        causes: Invalid rollouts by cause.
        total: Rollouts that were asked for, those that never ran included.
    """
    clusters = [[reward for reward in group if reward is not None] for group in rewards.values()]
    clusters = [cluster for cluster in clusters if cluster]
    flat = [reward for cluster in clusters for reward in cluster]
    mean = mean_of(flat) if flat else None
    stderr = clustered_stderr(clusters)
    bounds = _bounds(flat, total)
    return Summary(
        total=total,
        scored=len(flat),
        mean=mean,
        lower=None if bounds is None else bounds[0],
        upper=None if bounds is None else bounds[1],
        stderr=stderr,
        interval=_interval(flat, stderr, len(clusters)),
        population_std=None if mean is None else math.sqrt(mean_of([(r - mean) ** 2 for r in flat])),
        passed=sum(reward >= PASS_THRESHOLD for reward in flat),
        causes=dict(causes),
    )


def _bounds(flat: Sequence[float], total: int) -> tuple[float, float] | None:
    missing = total - len(flat)
    if not total or (missing and not all(0 <= reward <= 1 for reward in flat)):
        return None
    return math.fsum(flat) / total, (math.fsum(flat) + missing) / total


def mean_of(values: Sequence[float]) -> float:
    """Give the mean of at least one value (`statistics.fmean` is the same, and costs 5 ms to import)."""
    return math.fsum(values) / len(values)


def clustered_stderr(clusters: Sequence[Sequence[float]]) -> float | None:
    """Give the standard error of the mean of all rewards, with the rewards of one task as one cluster.

    Returns:
        None with fewer than two clusters: nothing can be said about other tasks then.
    """
    count = len(clusters)
    if count < 2:  # noqa: PLR2004
        return None
    flat = [reward for cluster in clusters for reward in cluster]
    mean = mean_of(flat)
    squares = math.fsum(math.fsum(reward - mean for reward in cluster) ** 2 for cluster in clusters)
    return math.sqrt(squares * count / (count - 1)) / len(flat)


def _interval(flat: Sequence[float], stderr: float | None, clusters: int) -> tuple[float, float] | None:
    if not stderr:
        return None
    mean, half = mean_of(flat), student_t_975(clusters - 1) * stderr
    low, high = mean - half, mean + half
    return (max(low, 0.0), min(high, 1.0)) if all(0 <= reward <= 1 for reward in flat) else (low, high)


def student_t_975(freedom: int) -> float:
    """Give the 97.5 % quantile of Student's t: a table to 30, two Cornish-Fisher terms beyond (error < 0.0002).

    Raises:
        ValueError: `freedom` is less than 1.
    """
    if freedom < 1:
        msg = f"degrees of freedom must be at least 1, got {freedom}"
        raise ValueError(msg)
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z = _Z_975
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def pass_at_k(groups: Sequence[Sequence[float]], k: int, *, threshold: float = PASS_THRESHOLD) -> float | None:
    """Estimate the chance that at least one of `k` attempts at a task passes.

    Returns:
        The mean over the tasks with at least `k` scored rollouts; None when there is none.

    Raises:
        ValueError: `k` is less than 1.
    """
    return _mean_over(groups, k, threshold, lambda n, c: 1 - math.comb(n - c, k) / math.comb(n, k))


def pass_hat_k(groups: Sequence[Sequence[float]], k: int, *, threshold: float = PASS_THRESHOLD) -> float | None:
    """Estimate the chance that all of `k` attempts at a task pass; results as for `pass_at_k`."""
    return _mean_over(groups, k, threshold, lambda n, c: math.comb(c, k) / math.comb(n, k))


def _mean_over(
    groups: Sequence[Sequence[float]], k: int, threshold: float, estimate: Callable[[int, int], float]
) -> float | None:
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise ValueError(msg)
    counted = [(len(group), sum(reward >= threshold for reward in group)) for group in groups if len(group) >= k]
    return mean_of([estimate(n, c) for n, c in counted]) if counted else None
