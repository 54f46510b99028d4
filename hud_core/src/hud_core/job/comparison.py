"""Two sets of rewards for the same tasks: how far apart they are, and whether chance explains it.

Every statistic here takes a task as the unit, because repeats of one task are not independent: a task's difference is
the mean reward of one side minus that of the other. The bootstrap interval is the bias-corrected and accelerated one
of Efron 1987 (doi:10.2307/2289144); the permutation test turns the signs of the differences; McNemar's test is the
exact one. The smallest detectable effect follows from the normal distribution, as in Miller 2024 (arXiv 2411.00640).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

from hud_core.job.statistics import mean_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rewards = Mapping[str, Sequence[float | None]]
    """The rewards of each task; None stands for a rollout without a score."""

DRAWS = 5_000_000
"""Random numbers that an interval may take: about two seconds."""
RESAMPLES = 10_000
"""Resamples of the bootstrap and the permutation test at the most."""
FEWEST_RESAMPLES = 1_000
"""Below this, for very many tasks, the normal distribution takes their place: it is the same by then."""
EXACT = 13
"""Tasks with a difference up to which every sign is tried, instead of some at random."""
POWER = 0.8
"""The chance at which an effect counts as detectable."""
SEED = 20_240_406
_NORMAL = NormalDist()


class Pair(NamedTuple):
    """One task with scores on both sides."""

    task: str
    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        """The mean reward of each side."""
        return mean_of(self.first), mean_of(self.second)

    @property
    def difference(self) -> float:
        """The second side's mean reward minus the first's."""
        first, second = self.means
        return second - first

    @property
    def is_flaky(self) -> bool:
        """Whether repeats on one side have different rewards."""
        return len(set(self.first)) > 1 or len(set(self.second)) > 1


@frozen(kw_only=True)
class McNemar:
    """McNemar's exact test, for tasks that are passed or failed."""

    only_first: int
    """Tasks that the first side alone passed."""
    only_second: int
    p_value: float


@frozen(kw_only=True)
class Comparison:
    """What two sides say about each other, over the tasks that both have a score for."""

    pairs: tuple[Pair, ...]
    """Those tasks, in the order of the first side."""
    only_first: tuple[str, ...]
    """Tasks that the second side does not have."""
    only_second: tuple[str, ...]
    unscored: tuple[str, ...]
    """Tasks that both have, without a score on one side or on both."""
    means: tuple[float, float] | None
    """The mean of each side over the pairs, where each task counts once; None without pairs."""
    difference: float | None
    """The second minus the first."""
    interval: tuple[float, float] | None
    """Of the difference, at 1 - alpha; None with fewer than two tasks, or where all differences are the same."""
    p_value: float | None
    """Of the permutation test: how often chance alone gives a difference as large; None without pairs."""
    mcnemar: McNemar | None
    """None where a task's mean reward is neither 0 nor 1."""
    detectable: float | None
    """The smallest true difference that as many tasks would show four times in five; None as for `interval`."""
    alpha: float

    @property
    def total(self) -> int:
        """Tasks of either side."""
        return len(self.pairs) + len(self.only_first) + len(self.only_second) + len(self.unscored)

    @property
    def coverage(self) -> float:
        """The share of the tasks of either side that are compared."""
        return len(self.pairs) / self.total if self.total else 0.0

    @property
    def is_significant(self) -> bool:
        """Whether chance alone would rarely give such a difference: less often than `alpha`."""
        return self.p_value is not None and self.p_value < self.alpha

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` (the second side, beyond chance), or ``unclear``."""
        if not self.is_significant or not self.difference:
            return "unclear"
        return "better" if self.difference > 0 else "worse"


def compare_rewards(first: Rewards, second: Rewards, *, alpha: float = 0.05) -> Comparison:
    """Compare the rewards of two sides, aligned by task.

    Args:
        first: The rewards of the side to compare with.
        second: The rewards of the other.
        alpha: How often chance may pass for a difference.

    Raises:
        ValueError: `alpha` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        msg = f"alpha must be between 0 and 1, got {alpha}"
        raise ValueError(msg)
    both = [task for task in first if task in second]
    made = [Pair(task, _scored(first[task]), _scored(second[task])) for task in both]
    pairs = tuple(pair for pair in made if pair.first and pair.second)
    differences = [pair.difference for pair in pairs]
    means = None if not pairs else (mean_of([p.means[0] for p in pairs]), mean_of([p.means[1] for p in pairs]))
    return Comparison(
        pairs=pairs,
        only_first=tuple(task for task in first if task not in second),
        only_second=tuple(task for task in second if task not in first),
        unscored=tuple(pair.task for pair in made if not (pair.first and pair.second)),
        means=means,
        difference=None if not pairs else mean_of(differences),
        interval=bootstrap_interval(differences, alpha=alpha),
        p_value=None if not pairs else permutation_test(differences),
        mcnemar=_mcnemar([pair.means for pair in pairs]),
        detectable=detectable_effect(differences, alpha=alpha),
        alpha=alpha,
    )


def _scored(rewards: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(reward for reward in rewards if reward is not None)


# --- the interval -----------------------------------------------------------------------------------------------------


def bootstrap_interval(values: Sequence[float], *, alpha: float = 0.05, seed: int = SEED) -> tuple[float, float] | None:
    """Give the BCa bootstrap interval of the mean at 1 - alpha; of more than 5,000 values, that of the normal theory.

    Returns:
        None where there are fewer than two values, or all are the same: they say nothing of how far others might lie.
    """
    count = len(values)
    spread = _deviation(values)
    if not spread:
        return None
    mean, resamples = mean_of(values), min(RESAMPLES, DRAWS // count)
    if resamples < FEWEST_RESAMPLES:
        half = _NORMAL.inv_cdf(1 - alpha / 2) * spread / math.sqrt(count)
        return mean - half, mean + half
    rng = random.Random(seed)  # noqa: S311  nothing secret about it
    drawn = sorted(math.fsum(rng.choices(values, k=count)) / count for _ in range(resamples))
    shares = [_bca(share, drawn, values, mean) for share in (alpha / 2, 1 - alpha / 2)]
    return _quantile(drawn, shares[0]), _quantile(drawn, shares[1])


def _bca(share: float, drawn: Sequence[float], values: Sequence[float], mean: float) -> float:
    """Say which quantile of the resampled means stands for one of the mean: corrected for bias and skewness."""
    below = sum(one < mean for one in drawn) + sum(one == mean for one in drawn) / 2
    bias = _NORMAL.inv_cdf(min(max(below / len(drawn), 1 / len(drawn)), 1 - 1 / len(drawn)))
    squares = math.fsum((mean - value) ** 2 for value in values)
    # Of the jackknife: a mean without one value differs from the mean by (mean - value) / (n - 1).
    skew = math.fsum((value - mean) ** 3 for value in values) / (6 * squares**1.5)
    z = bias + _NORMAL.inv_cdf(share)
    return _NORMAL.cdf(bias + z / max(1 - skew * z, 1e-9))  # it is less for a very small alpha alone


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _deviation(values: Sequence[float]) -> float | None:
    """Give the standard deviation, as an estimate; None with fewer than two values, 0 where they do not differ."""
    if not values[1:]:
        return None
    if min(values) == max(values):  # exactly, whatever the mean was rounded to
        return 0.0
    mean = mean_of(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def detectable_effect(values: Sequence[float], *, alpha: float = 0.05, power: float = POWER) -> float | None:
    """Give the smallest true mean that as many values, spread like these, would tell from 0 with this power.

    Returns:
        None as for `bootstrap_interval`.
    """
    spread = _deviation(values)
    if not spread:
        return None
    return (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)) * spread / math.sqrt(len(values))


# --- the tests --------------------------------------------------------------------------------------------------------


def permutation_test(values: Sequence[float], *, seed: int = SEED) -> float:
    """Give the chance of a sum as far from 0 if each value's sign were random: exact for few values, else estimated.

    Of more than 10,000 different values it is that of the normal theory.
    An estimate counts the values themselves as one of the permutations, so that it is never 0.
    """
    sizes = Counter(abs(value) for value in values if value)
    seen = abs(math.fsum(values))
    slack = 1e-9 * max(math.fsum(size * count for size, count in sizes.items()), 1e-300)
    if sizes.total() <= EXACT:
        sums = _every_sum(sizes)
        return sum(abs(one) >= seen - slack for one in sums) / len(sums)
    resamples = min(RESAMPLES, 2 * DRAWS // len(sizes))
    if resamples < FEWEST_RESAMPLES:
        return 2 * _NORMAL.cdf(-seen / math.sqrt(math.fsum(value * value for value in values)))
    rng = random.Random(seed)  # noqa: S311  as above
    found = sum(abs(_random_sum(sizes, rng)) >= seen - slack for _ in range(resamples))
    return (found + 1) / (resamples + 1)


def _every_sum(sizes: Counter[float]) -> list[float]:
    sums = [0.0]
    for size in sizes.elements():
        sums = [one + sign * size for one in sums for sign in (1, -1)]
    return sums


def _random_sum(sizes: Counter[float], rng: random.Random) -> float:
    """Add the values up with random signs: those of one size at once, by how many of as many coins show heads."""
    return sum(size * (2 * rng.getrandbits(count).bit_count() - count) for size, count in sizes.items())


def _mcnemar(means: Sequence[tuple[float, float]]) -> McNemar | None:
    if not means or not all(mean in (0.0, 1.0) for pair in means for mean in pair):
        return None
    only_first = sum(first > second for first, second in means)
    only_second = sum(second > first for first, second in means)
    return McNemar(only_first=only_first, only_second=only_second, p_value=sign_test(only_first, only_second))


def sign_test(one: int, other: int) -> float:
    """Give the exact two-sided chance of a split as uneven, if both sides were as likely."""
    count, least = one + other, min(one, other)
    tail = sum(math.comb(count, place) for place in range(least + 1))
    return min(1.0, 2 * tail / 2**count) if count else 1.0
