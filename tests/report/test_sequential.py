"""The sequential rule: Pocock's published constants, and how often it errs, by simulation."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnet_cluster.report.sequential import chance_to_stay, judge, level_of_a_look
from resnet_cluster.report.significance import RISK

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "sequential.py"))
"""The one that the documentation's figures are of."""
Case, simulated = SIMULATION["Case"], SIMULATION["simulated"]


@pytest.mark.parametrize(
    ("looks", "bound"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)]
)
def test_the_constants_are_pococks(looks: int, bound: float) -> None:
    """Biometrika 64, 1977, Table 1, of looks after equal numbers: all err in 5 % together."""
    risk = 1 - chance_to_stay(bound, range(1, looks + 1))
    assert risk == pytest.approx(0.05, abs=1.5e-4)  # of a constant with three decimals


@pytest.mark.parametrize(("looks", "percent"), [(1, 5.0), (2, 8.3), (5, 14.2), (10, 19.3)])
def test_who_looks_again_at_the_same_level_is_wrong_too_often(looks: int, percent: float) -> None:
    """Armitage, McPherson and Rowe 1969, Table 2, of tests at 5 % after equal numbers."""
    risk = 1 - chance_to_stay(float(stats.norm.isf(0.025)), range(1, looks + 1))
    assert 100 * risk == pytest.approx(percent, abs=0.06)


def test_the_level_of_a_look_is_that_of_simulated_sums() -> None:
    bound = stats.norm.isf(level_of_a_look(6) / 2)
    draws = np.random.default_rng(3).normal(size=(200_000, 6)).cumsum(axis=1)
    looks = np.arange(2, 7)
    left = (np.abs(draws[:, 1:]) > bound * np.sqrt(looks)).any(axis=1)
    assert left.mean() == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 200_000))


@given(st.integers(2, 30), st.sampled_from([0.05, 0.025, 0.05 / 15]))
def test_a_level_lies_between_bonferronis_and_that_of_one_look(most: int, risk: float) -> None:
    level = level_of_a_look(most, risk)
    assert risk / (most - 1) * (1 - 1e-9) <= level <= risk * (1 + 1e-9)


def test_one_look_is_one_test() -> None:
    assert level_of_a_look(2) == RISK


def test_groups_that_are_settled_want_no_more_seeds() -> None:
    groups = [[5.0, 5.02, 5.01], [7.0, 7.1, 7.05], [7.02, 7.08, 7.06]]
    found = judge(groups, most=6)
    assert [(pair.first, pair.second) for pair in found.settled] == [(0, 2), (0, 1)]
    assert found.settled[1].difference == pytest.approx(5.01 - 7.05)
    assert all(pair.p <= pair.level for pair in found.settled)
    assert (found.open, found.wanting, found.num_seeds) == (((1, 2),), (1, 2), 3)
    # The first group's later seeds count no more; the others' next look waits for both.
    more = judge([[*groups[0], 99.0], [*groups[1], 7.0], groups[2]], most=6)
    assert more == found


def test_seeds_end_at_their_most() -> None:
    groups = [[7.0, 7.2, 7.1], [7.1, 7.0, 7.2]]
    assert judge(groups, most=3).wanting == ()
    assert judge(groups, most=3).open == ((0, 1),)
    assert judge(groups, most=4).wanting == (0, 1)
    assert judge([[7.0], [7.1]], most=4).num_seeds == 0
    assert judge([[7.0], [7.1]], most=4).wanting == (0, 1)


def test_a_group_that_is_stuck_holds_nobody_up() -> None:
    groups = [[5.0, 5.02, 5.01], [7.0, 7.02, 7.01], [6.0]]
    assert judge(groups, most=6).wanting == (0, 1, 2)
    assert judge(groups, most=6).num_seeds == 0
    found = judge(groups, most=6, stuck=[2])
    assert [(pair.first, pair.second) for pair in found.settled] == [(0, 1)]
    assert found.open == ((0, 2), (1, 2))
    assert found.wanting == ()
    assert found.settled[0].level == level_of_a_look(6, RISK / 3)  # of all three, as ever


def test_equal_seeds_settle_nothing() -> None:
    assert judge([[7.0, 7.0], [6.0, 6.0]], most=5).settled == ()


@pytest.mark.parametrize(
    ("stds", "most", "rounds"),
    [
        ((0.2, 0.2), 5, 2_000),
        ((0.2, 0.2), 10, 2_000),
        ((0.1, 1.0), 5, 2_000),
        ((0.2, 0.6), 10, 2_000),
        ((0.2,) * 4, 10, 800),
    ],
)
def test_at_most_one_sweep_in_twenty_is_wrong_where_nothing_differs(
    stds: tuple[float, ...], most: int, rounds: int
) -> None:
    case = Case("alike", (7.0,) * len(stds), stds, most)
    wrong, _, _ = simulated(case, rounds)
    assert wrong <= RISK + 3 * math.sqrt(RISK * (1 - RISK) / rounds)


def test_a_large_difference_takes_few_seeds() -> None:
    """Three deviations apart: by a mean of about five of ten seeds; a test after ten needs ten."""
    wrong, right, seeds = simulated(Case("apart", (7.0, 7.6), (0.2, 0.2), 10), 1_000)
    assert wrong <= 0.01
    assert right > 0.99
    assert seeds == pytest.approx(4.8, abs=0.2)
