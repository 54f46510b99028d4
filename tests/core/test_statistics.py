"""Aggregates against brute force, formulas worked by hand, tables, and simulation."""

from __future__ import annotations

import itertools
import math
import random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.job.statistics import (
    Summary,
    clustered_stderr,
    pass_at_k,
    pass_hat_k,
    student_t_975,
    summarise,
)

REWARDS = st.floats(0, 1)
GROUPS = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=7), max_size=5)


# --- pass@k and pass^k ------------------------------------------------------------------------------------------------


def share_of_subsets(group: list[float], k: int, *, every: bool) -> float:
    """Count subsets of k attempts: those where any, or every, attempt passes."""
    subsets = list(itertools.combinations([reward >= 1 for reward in group], k))
    return fmean((all if every else any)(subset) for subset in subsets)


@given(GROUPS, st.integers(1, 7))
def test_pass_at_k_is_the_share_of_subsets(groups: list[list[float]], k: int) -> None:
    counted = [group for group in groups if len(group) >= k]
    for estimate, every in ((pass_at_k, False), (pass_hat_k, True)):
        found = estimate(groups, k)
        if not counted:
            assert found is None
        else:
            assert found == pytest.approx(fmean(share_of_subsets(group, k, every=every) for group in counted))


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=6, max_size=6), min_size=1, max_size=4))
def test_more_attempts_help_any_and_hurt_all(groups: list[list[float]]) -> None:
    at = [pass_at_k(groups, k) or 0.0 for k in range(1, 7)]
    hat = [pass_hat_k(groups, k) or 0.0 for k in range(1, 7)]
    assert at[0] == pytest.approx(hat[0])
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(at))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(hat))


def test_pass_at_k_known_values() -> None:
    assert pass_at_k([[1, 0, 0, 0]], 2) == pytest.approx(0.5)
    assert pass_hat_k([[1, 1, 0, 0]], 2) == pytest.approx(1 / 6)
    assert pass_at_k([[1, 0], [0, 0]], 1) == pytest.approx(0.25)
    assert pass_at_k([[0.5, 0.4]], 1, threshold=0.5) == pytest.approx(0.5)
    assert pass_at_k([[1]], 2) is None
    assert pass_at_k([], 1) is None


def test_pass_at_k_is_unbiased() -> None:
    rng = random.Random(7)
    p, n, k = 0.3, 8, 3
    groups = [[float(rng.random() < p) for _ in range(n)] for _ in range(20_000)]
    assert pass_at_k(groups, k) == pytest.approx(1 - (1 - p) ** k, abs=0.01)
    assert pass_hat_k(groups, k) == pytest.approx(p**k, abs=0.01)


@pytest.mark.parametrize("estimate", [pass_at_k, pass_hat_k])
def test_k_must_be_at_least_1(estimate: object) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        estimate([[1.0]], 0)  # type: ignore[operator]  # both take this


# --- the clustered standard error -------------------------------------------------------------------------------------


def test_stderr_by_hand() -> None:
    # The mean of 1, 1, 0, 0 is 0.5. The clusters' sums of deviations are 1 and -1, their squares sum to 2;
    # times G/(G-1) = 2 is 4; the root is 2; divided by the 4 rewards is 0.5.
    assert clustered_stderr([[1, 1], [0, 0]]) == pytest.approx(0.5)
    # Deviations cancel inside each cluster: the tasks do not differ.
    assert clustered_stderr([[1, 0], [0, 1]]) == pytest.approx(0.0)
    # The mean of 1, 0, 0, 1, 1, 0 is 0.5; sums are 0.5, -0.5 - 0.5 = -1 and 0.5: 0.25 + 1 + 0.25 = 1.5,
    # times 3/2 is 2.25, the root 1.5, over 6 rewards 0.25.
    assert clustered_stderr([[1], [0, 0], [1, 1, 0]]) == pytest.approx(0.25)


@given(st.lists(REWARDS, min_size=2, max_size=30))
def test_stderr_of_single_attempts_is_the_plain_one(rewards: list[float]) -> None:
    expected = stdev(rewards) / math.sqrt(len(rewards))
    assert clustered_stderr([[reward] for reward in rewards]) == pytest.approx(expected, abs=1e-9)


@given(st.lists(REWARDS, min_size=2, max_size=10), st.integers(1, 6))
def test_repeating_the_same_reward_teaches_nothing(rewards: list[float], repeats: int) -> None:
    once = clustered_stderr([[reward] for reward in rewards])
    assert clustered_stderr([[reward] * repeats for reward in rewards]) == pytest.approx(once, abs=1e-9)


def test_stderr_agrees_with_a_bootstrap_over_tasks() -> None:
    rng = random.Random(3)
    difficulty = [rng.random() for _ in range(60)]
    clusters = [[float(rng.random() < p) for _ in range(5)] for p in difficulty]
    means = []
    for _ in range(1500):
        sample = rng.choices(clusters, k=len(clusters))
        means.append(fmean(reward for cluster in sample for reward in cluster))
    assert clustered_stderr(clusters) == pytest.approx(stdev(means), rel=0.1)


@pytest.mark.parametrize("clusters", [[], [[1.0]], [[1.0, 0.0, 1.0]]])
def test_one_task_says_nothing_about_others(clusters: list[list[float]]) -> None:
    assert clustered_stderr(clusters) is None


# --- Student's t ------------------------------------------------------------------------------------------------------


TABLE = {
    1: 12.7062, 2: 4.3027, 3: 3.1824, 5: 2.5706, 10: 2.2281, 20: 2.0860, 30: 2.0423, 31: 2.0395, 35: 2.0301,
    40: 2.0211, 50: 2.0086, 60: 2.0003, 80: 1.9901, 100: 1.9840, 120: 1.9799, 200: 1.9719, 1000: 1.9623,
}  # fmt: skip
"""97.5 % quantiles as printed in statistical tables."""


@pytest.mark.parametrize(("freedom", "quantile"), TABLE.items())
def test_t_quantiles_are_those_of_the_table(freedom: int, quantile: float) -> None:
    assert student_t_975(freedom) == pytest.approx(quantile, abs=4e-4)


def cumulative_t(x: float, freedom: int) -> float:
    """Integrate Student's density by Simpson's rule."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    steps = 2000
    weights = [1, *([4, 2] * (steps // 2 - 1)), 4, 1]
    total = math.fsum(w * (1 + (x * i / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for i, w in enumerate(weights))
    return 0.5 + scale * total * x / steps / 3


@pytest.mark.parametrize("freedom", [4, 12, 29, 30, 31, 32, 45, 77, 150])
def test_t_quantiles_cover_97_5_percent(freedom: int) -> None:
    assert cumulative_t(student_t_975(freedom), freedom) == pytest.approx(0.975, abs=2e-5)


def test_t_quantiles_fall_towards_the_normal_one() -> None:
    values = [student_t_975(freedom) for freedom in range(1, 400)]
    assert all(a > b for a, b in itertools.pairwise(values))
    assert values[-1] > 1.959964


def test_no_degrees_of_freedom_are_an_error() -> None:
    with pytest.raises(ValueError, match="degrees of freedom must be at least 1, got 0"):
        student_t_975(0)


# --- summaries --------------------------------------------------------------------------------------------------------


MAYBE = st.none() | REWARDS
TASKS = st.dictionaries(st.text(max_size=3), st.lists(MAYBE, max_size=5), max_size=6)


def summary_of(rewards: dict[str, list[float | None]], never_ran: int = 0) -> Summary:
    flat = [reward for group in rewards.values() for reward in group]
    causes = {"backend": missing} if (missing := flat.count(None)) else {}
    return summarise(rewards, causes, len(flat) + never_ran)


@given(TASKS, st.integers(0, 5), st.data())
def test_the_bounds_hold_for_any_completion(
    rewards: dict[str, list[float | None]], never_ran: int, data: st.DataObject
) -> None:
    found = summary_of(rewards, never_ran)
    flat = [reward for group in rewards.values() for reward in group]
    if found.total == 0:
        assert (found.mean, found.lower, found.upper, found.coverage) == (None, None, None, 0.0)
        return
    completed = [data.draw(REWARDS) if reward is None else reward for reward in flat]
    completed += [data.draw(REWARDS) for _ in range(never_ran)]
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower - 1e-9 <= fmean(completed) <= found.upper + 1e-9
    assert found.upper - found.lower == pytest.approx(1 - found.coverage)


@given(TASKS, st.integers(0, 5))
def test_what_is_missing_is_counted_and_never_a_zero(rewards: dict[str, list[float | None]], never_ran: int) -> None:
    found = summary_of(rewards, never_ran)
    scored = [reward for group in rewards.values() for reward in group if reward is not None]
    assert found.scored == len(scored)
    assert found.coverage == (len(scored) / found.total if found.total else 0)
    if not scored:
        assert (found.mean, found.stderr, found.interval, found.population_std) == (None, None, None, None)
        return
    assert found.mean == pytest.approx(fmean(scored))
    assert found.passed == sum(reward >= 1 for reward in scored)
    if found.interval is not None:
        assert found.stderr is not None
        low, high = found.interval
        assert low <= found.mean <= high
        if all(0 <= reward <= 1 for reward in scored):
            assert 0 <= low <= high <= 1
        else:
            assert found.mean - low == pytest.approx(high - found.mean, abs=1e-9)


def test_a_summary_by_hand() -> None:
    found = summarise({"a": [1.0, None], "b": [0.0, 0.5]}, {"provider": 1}, 6)
    assert (found.total, found.scored, found.passed, found.causes) == (6, 3, 1, {"provider": 1})
    assert found.mean == pytest.approx(0.5)
    assert (found.lower, found.upper) == (pytest.approx(1.5 / 6), pytest.approx(4.5 / 6))
    assert found.population_std == pytest.approx(math.sqrt(1 / 6))
    # Sums of deviations are 0.5 and -0.5; (0.25 + 0.25) * 2 = 1; over 3 rewards.
    assert found.stderr == pytest.approx(1 / 3)
    assert found.interval == (0.0, 1.0)  # 0.5 +- 12.706 / 3, and no mean of such rewards is beyond
    beyond = summarise({"a": [2.0, None], "b": [1.0, 1.5]}, {"provider": 1}, 6)
    assert beyond.interval == pytest.approx((1.5 - 12.706 / 3, 1.5 + 12.706 / 3))


def test_rewards_beyond_one_have_no_bounds() -> None:
    found = summarise({"a": [5.0], "b": [None]}, {"agent": 1}, 2)
    assert (found.mean, found.lower, found.upper) == (5.0, None, None)
    complete = summarise({"a": [5.0], "b": [-1.0]}, {}, 2)
    assert (complete.lower, complete.upper) == (2.0, 2.0)


def test_rewards_that_do_not_differ_give_no_interval() -> None:
    found = summarise({"a": [1.0], "b": [1.0], "c": [1.0]}, {}, 3)
    assert (found.mean, found.stderr, found.interval) == (1.0, 0.0, None)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(11)
    hits = 0
    for _ in range(400):
        tasks = {str(n): [rng.gauss(0.5, 0.1) + shift for _ in range(3)]
                 for n in range(8) for shift in [rng.gauss(0, 0.2)]}  # fmt: skip
        interval = summarise(tasks, {}, 24).interval
        assert interval is not None
        hits += interval[0] <= 0.5 <= interval[1]
    assert 0.91 <= hits / 400 <= 0.985
