"""Comparing rewards: against scipy, by simulation, and by hand."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hud_core.job.comparison import (
    Pair,
    bootstrap_interval,
    compare_rewards,
    detectable_effect,
    permutation_test,
    sign_test,
)

pytestmark = pytest.mark.slow
# Halves and quarters: their sums are exact, and scipy calls a sum that differs by a rounding error another one.
VALUES = st.lists(st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=9)


def scipy_permutation(values: list[float]) -> float:
    found = stats.permutation_test(
        (np.array(values), np.zeros(len(values))),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(found.pvalue)


@given(VALUES)
def test_few_tasks_are_permuted_exactly_as_by_scipy(values: list[float]) -> None:
    assert permutation_test(values) == pytest.approx(scipy_permutation(values))


def test_many_tasks_are_permuted_at_random_and_end_near_the_truth() -> None:
    values = [1.0] * 14 + [-1.0] * 6 + [0.0] * 30
    assert permutation_test(values) == pytest.approx(stats.binomtest(6, 20).pvalue, abs=0.01)
    uneven = [number / 40 for number in range(-12, 24)]
    rng = np.random.default_rng(1)
    signs = rng.choice([-1, 1], size=(100_000, len(uneven)))
    truth = np.mean(np.abs(signs @ np.array(uneven)) >= abs(sum(uneven)) - 1e-9)
    assert permutation_test(uneven) == pytest.approx(truth, abs=0.01)


def test_very_many_tasks_are_compared_by_the_normal_theory() -> None:
    values = [(-1) ** (number % 3) * (1 + number / 12_000) for number in range(12_000)]
    z = abs(sum(values)) / sum(value**2 for value in values) ** 0.5
    assert permutation_test(values) == pytest.approx(2 * stats.norm.sf(z))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_sign_test_of_scipy(one: int, other: int) -> None:
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert sign_test(one, other) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["even", "skewed", "passes"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_interval_is_that_of_scipy(kind: str, alpha: float) -> None:
    rng = random.Random(7)
    values = {
        "even": [rng.gauss(0.1, 0.3) for _ in range(40)],
        "skewed": [rng.expovariate(3) for _ in range(25)],
        "passes": [rng.choice([-1.0, 0.0, 0.0, 1.0]) for _ in range(50)],
    }[kind]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=1 - alpha, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    spread = stats.sem(values)
    assert bootstrap_interval(values, alpha=alpha) == pytest.approx(tuple(theirs), abs=0.12 * spread)


def test_the_interval_of_very_many_tasks_is_that_of_the_normal_theory() -> None:
    values = [float(number % 3 == 0) - 0.25 for number in range(6000)]
    theirs = stats.norm.interval(0.95, loc=np.mean(values), scale=stats.sem(values))
    assert bootstrap_interval(values) == pytest.approx(theirs)


@pytest.mark.parametrize("values", [[], [1.0], [0.5] * 20])
def test_there_is_no_interval_where_nothing_differs(values: list[float]) -> None:
    assert bootstrap_interval(values) is None
    assert detectable_effect(values) is None


def test_what_is_detectable_is_detected_four_times_in_five() -> None:
    rng = random.Random(5)
    effect = detectable_effect([rng.gauss(0, 0.4) for _ in range(2000)])
    assert effect is not None
    scale = effect * (2000 / 50) ** 0.5  # for 50 tasks instead of 2,000
    found = [stats.ttest_1samp([rng.gauss(scale, 0.4) for _ in range(50)], 0).pvalue < 0.05 for _ in range(600)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_results_are_the_same_each_time() -> None:
    values = [number / 40 for number in range(-12, 24)]
    assert permutation_test(values) == permutation_test(values)
    assert bootstrap_interval(values) == bootstrap_interval(values)


# --- two sides --------------------------------------------------------------------------------------------------------


def test_tasks_are_aligned_and_what_is_missing_is_told() -> None:
    first = {"a": [1.0], "b": [0.0, 1.0], "c": [None], "gone": [1.0]}
    second = {"b": [1.0, None], "a": [0.0], "c": [1.0], "new": [1.0]}
    found = compare_rewards(first, second)
    assert found.pairs == (Pair("a", (1.0,), (0.0,)), Pair("b", (0.0, 1.0), (1.0,)))
    assert (found.only_first, found.only_second, found.unscored) == (("gone",), ("new",), ("c",))
    assert (found.total, found.coverage) == (5, 0.4)
    assert found.means == (0.75, 0.5)
    assert found.difference == -0.25
    assert [pair.is_flaky for pair in found.pairs] == [False, True]
    assert found.mcnemar is None


def test_passes_are_tested_by_mcnemar_too() -> None:
    first = {f"t{n}": [float(n < 5)] for n in range(30)}
    second = {f"t{n}": [float(n < 14)] for n in range(30)}
    found = compare_rewards(first, second)
    assert found.mcnemar is not None
    assert (found.mcnemar.only_first, found.mcnemar.only_second) == (0, 9)
    assert found.mcnemar.p_value == found.p_value == pytest.approx(2 / 2**9)
    assert (found.verdict, compare_rewards(second, first).verdict) == ("better", "worse")
    assert compare_rewards(first, second, alpha=0.001).verdict == "unclear"


def test_repeats_of_one_task_are_one_task() -> None:
    few = compare_rewards({"a": [0.0], "b": [0.0]}, {"a": [1.0], "b": [1.0]})
    many = compare_rewards({"a": [0.0] * 50, "b": [0.0] * 50}, {"a": [1.0] * 50, "b": [1.0] * 50})
    assert few.p_value == many.p_value == 0.5


def test_two_sides_without_a_task_in_common_have_no_difference() -> None:
    found = compare_rewards({"a": [1.0]}, {"b": [0.0]})
    assert (found.difference, found.p_value, found.interval, found.verdict) == (None, None, None, "unclear")
    assert compare_rewards({}, {}).coverage == 0.0


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_alpha_is_a_share(alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        compare_rewards({}, {}, alpha=alpha)


def test_chance_alone_is_a_difference_no_more_often_than_alpha() -> None:
    sizes = [0.1, 0.2, 0.25, 0.5, 0.7, 0.9, 1.0]
    outcomes = itertools.product(*((size, -size) for size in sizes))
    p_values = [permutation_test(outcome) for outcome in outcomes]
    for alpha in (0.02, 0.05, 0.1, 0.5):
        assert np.mean([p_value <= alpha for p_value in p_values]) <= alpha
