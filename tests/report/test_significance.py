"""Tests and power, against scipy and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnet_cluster.report.significance import (
    DEVIATIONS_TOLD,
    MOST_SEEDS,
    holm,
    mcnemar,
    needed,
    power,
    seeds_to_tell,
    sound_freedom,
    student_p,
    variance_of,
    welch,
)

errors = st.lists(st.integers(0, 10_000).map(lambda count: count / 100), min_size=2, max_size=9)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@given(errors, errors)
def test_welchs_test_is_scipys(first: list[float], second: list[float]) -> None:
    found = welch(first, second)
    if len(set(first)) == len(set(second)) == 1:
        assert found is None
        return
    reference = stats.ttest_ind(first, second, equal_var=False)
    assert found is not None
    assert (found.t, found.freedom) == pytest.approx((reference.statistic, reference.df), rel=1e-6)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-300)


def test_a_single_seed_and_equal_ones_have_no_test() -> None:
    assert welch([7.1], [6.9, 7.0]) is None
    # Their rounded mean is another number: t would be of the order of 1e15.
    assert welch([7.1, 7.1, 7.1], [6.9, 6.9, 6.9]) is None
    assert needed([7.1, 7.1], [6.9], 0.2) is None


@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (2, 10), (6, 9)])
@pytest.mark.parametrize("ratio", [0.5, 1, 2])
def test_degrees_of_freedom_that_err_no_more_often_than_they_say(
    sizes: tuple[int, int], ratio: float
) -> None:
    draw, wrong, rounds = np.random.default_rng(5), 0, 3_000
    for _ in range(rounds):
        first = draw.normal(7, 0.2 * ratio, sizes[0]).tolist()
        second = draw.normal(7, 0.2, sizes[1]).tolist()
        t = (np.mean(first) - np.mean(second)) / variance_of(first, second) ** 0.5
        wrong += student_p(float(t), sound_freedom(first, second)) < 0.05
    assert wrong / rounds < 0.05 + 0.012  # three standard errors


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_test_is_scipys_binomial_test(only_first: int, only_second: int) -> None:
    found = mcnemar(only_first, only_second)
    num, fewer = only_first + only_second, min(only_first, only_second)
    exact = stats.binomtest(fewer, num).pvalue if num else 1.0
    if num < 25:
        assert (found.p, found.method) == (pytest.approx(exact), "exact")
    else:
        # Twice the tail counts the middle twice where both runs are wrong equally often.
        both = 2 * stats.binom.cdf(fewer, num, 0.5)
        expected = min(1.0, both - stats.binom.pmf(fewer, num, 0.5))
        assert (found.p, found.method) == (pytest.approx(expected), "mid-p")


@pytest.mark.parametrize("expected_discordant", [4, 20, 30, 100, 1_000])
def test_mcnemars_test_errs_in_one_of_twenty(expected_discordant: float) -> None:
    draw, rounds = np.random.default_rng(6), 20_000
    counts = draw.poisson(expected_discordant / 2, (rounds, 2))
    pairs, times = np.unique(counts, axis=0, return_counts=True)
    wrong = sum(
        int(n) for (a, b), n in zip(pairs, times, strict=True) if mcnemar(int(a), int(b)).p <= 0.05
    )
    assert wrong / rounds < 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


def test_holm_by_hand() -> None:
    assert holm([]) == ()
    assert holm([0.03]) == (0.03,)
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.5, 0.4, 0.9]) == (1.0, 1.0, 1.0)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(ps: list[float]) -> None:
    rejected, left = set(), sorted(range(len(ps)), key=lambda place: ps[place])
    while left and ps[left[0]] * len(left) <= 0.05:
        rejected.add(left.pop(0))
    assert {place for place, p in enumerate(holm(ps)) if p <= 0.05} == rejected


@pytest.mark.parametrize(("points", "std"), [(0.2, 0.16), (0.5, 0.2), (1.0, 0.1), (0.1, 0.2)])
def test_power_is_that_of_the_noncentral_t_and_of_a_simulation(points: float, std: float) -> None:
    num = seeds_to_tell(points, std)
    found = power(points, std, np.array([num - 1, num]))
    freedom, shift = 2 * num - 2, points / std * (num / 2) ** 0.5
    bound = stats.t.ppf(0.975, freedom)
    tails = stats.nct.sf(bound, freedom, shift) + stats.nct.cdf(-bound, freedom, shift)
    assert found[1] == pytest.approx(tails, abs=1e-6)
    assert found[1] >= 0.8
    assert num == 2 or found[0] < 0.8
    draw = np.random.default_rng(7)
    groups = draw.normal(0, std, (2, 10_000, num)) + np.array([points, 0])[:, None, None]
    told = stats.ttest_ind(*groups, axis=1).pvalue <= 0.05
    assert told.mean() == pytest.approx(found[1], abs=0.015)


def test_what_is_told_of_a_value_whose_deviation_is_known() -> None:
    power_of = stats.norm.sf(stats.norm.isf(0.025) - DEVIATIONS_TOLD)
    assert power_of == pytest.approx(0.8, abs=1e-6)


def test_seeds_still_needed() -> None:
    found = needed([7.0, 7.2, 7.4], [6.9, 7.3], 0.2)
    assert found is not None
    # (2 * 0.2^2 + 1 * (0.4^2 / 2)) / 3
    assert found.std == pytest.approx(((0.08 + 0.08) / 3) ** 0.5)
    assert found.total == seeds_to_tell(0.2, found.std)
    assert found.more == (found.total - 3, found.total - 2)
    enough = needed([7.0, 7.01] * 5, [6.0, 6.01], 0.2)
    assert enough is not None
    assert enough.more[0] == 0
    hopeless = needed([7.0, 9.0], [7.0, 9.0], 1e-4)
    assert hopeless is not None
    assert hopeless.total == MOST_SEEDS
