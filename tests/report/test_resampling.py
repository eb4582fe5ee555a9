"""Intervals over seeds and images, against scipy, plain resampling and simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from resnet_cluster.report import resampling
from resnet_cluster.report.pairing import images_variance, paired
from resnet_cluster.report.resampling import (
    Interval,
    Method,
    Over,
    bonett_price,
    bootstrap,
    interval,
    student,
)
from resnet_cluster.report.significance import variance_of

Wrong = NDArray[np.bool_]


def make_world(
    draw: np.random.Generator,
    sizes: tuple[int, int],
    *,
    num_images: int = 1_000,
    of_images: float = 0.8,
    of_seeds: float = 0.0,
) -> tuple[Wrong, Wrong]:
    """Two experiments whose errors are equal, on images and seeds that are drawn anew.

    Args:
        draw: generator.
        sizes: seeds of each.
        num_images: of the test set.
        of_images: deviation between the experiments' log-odds on an image.
        of_seeds: deviation of a seed's log-odds.
    """
    hardness = draw.normal(-3, 2, num_images)
    found = []
    for size in sizes:
        odds = (
            hardness + draw.normal(0, of_images, num_images) + draw.normal(0, of_seeds, (size, 1))
        )
        found.append(draw.random((size, num_images)) < 1 / (1 + np.exp(-odds)))
    return found[0], found[1]


def errors(wrong: Wrong) -> list[float]:
    found: list[float] = (100 * wrong.mean(axis=1)).tolist()
    return found


def covers(found: Interval | None) -> bool:
    """Whether it has the true difference, which is none."""
    assert found is not None
    return found.low <= 0 <= found.high


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends need not be as exact where many intervals are counted."""
    monkeypatch.setattr(resampling, "DRAWS", 1_000)


def test_images_are_counted_by_how_many_runs_get_them_wrong() -> None:
    first = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    second = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]], bool)
    pairs = paired(first, second)
    assert pairs.counts.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    differences = 100 * (first.mean(axis=0) - second.mean(axis=0))
    assert pairs.variance == pytest.approx(differences.var(ddof=1) / 4)
    values, shares = pairs.by_difference()
    assert values @ shares == pytest.approx(differences.mean())
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("of_seeds", [0.0, 0.2])
@pytest.mark.parametrize("of_images", [0.0, 0.8])
def test_the_variance_is_that_between_worlds(of_images: float, of_seeds: float) -> None:
    draw, found, differences = np.random.default_rng(1), [], []
    for _ in range(1_200):
        first, second = make_world(draw, (3, 4), of_images=of_images, of_seeds=of_seeds)
        ours, theirs = errors(first), errors(second)
        differences.append(np.mean(ours) - np.mean(theirs))
        own = images_variance(paired(first, second), ours, theirs)
        found.append(variance_of(ours, theirs) + own)
    # That nothing is below zero adds a little where images have nothing of their own.
    assert np.var(differences) / np.mean(found) == pytest.approx(0.98, abs=0.13)


def test_one_run_against_one_is_scipys_bootstrap_of_images() -> None:
    first, second = make_world(np.random.default_rng(2), (1, 1), num_images=2_000)
    found = bootstrap(errors(first), errors(second), paired(first, second))
    assert found is not None
    assert (found.method, found.over, found.p) == (Method.BOOTSTRAP, Over.IMAGES, None)
    reference = stats.bootstrap(
        (100.0 * first[0], 100.0 * second[0]),
        lambda ours, theirs, axis: ours.mean(axis=axis) - theirs.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4_000,
        batch=500,
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.1)


def test_the_draws_are_those_of_plain_resampling() -> None:
    first, second = make_world(np.random.default_rng(4), (4, 3), of_seeds=0.2)
    ours, theirs, pairs = errors(first), errors(second), paired(first, second)
    draw, draws = np.random.default_rng(5), []
    share = (images_variance(pairs, ours, theirs) / pairs.variance) ** 0.5
    per_image = 100 * (first.mean(axis=0) - second.mean(axis=0))
    middle = per_image.mean()
    for _ in range(10_000):
        seeds = draw.choice(ours, 3).mean() - draw.choice(theirs, 2).mean()
        images = per_image[draw.integers(0, len(per_image), len(per_image))].mean() - middle
        draws.append(seeds + share * images)
    found = bootstrap(ours, theirs, pairs)
    assert found is not None
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(
        np.quantile(draws, (0.025, 0.975)), abs=width / 25
    )
    assert found == bootstrap(ours, theirs, pairs)


@pytest.mark.parametrize("of_images", [0.0, 0.8])
@pytest.mark.parametrize(("sizes", "of_seeds"), [((2, 2), 0.0), ((3, 3), 0.1), ((2, 5), 0.1)])
def test_students_interval_covers_at_few_seeds(
    sizes: tuple[int, int], of_seeds: float, of_images: float
) -> None:
    draw, rounds = np.random.default_rng(6), 800
    worlds = (
        make_world(draw, sizes, num_images=500, of_images=of_images, of_seeds=of_seeds)
        for _ in range(rounds)
    )
    found = [student(errors(a), errors(b), paired(a, b)) for a, b in worlds]
    # Of two seeds each, all may have equal errors.
    hits = [covers(one) for one in found if one is not None]
    assert len(hits) > 0.98 * rounds
    assert np.mean(hits) >= 0.91


@pytest.mark.usefixtures("fewer_draws")
def test_the_bootstrap_covers_at_ten_seeds_and_not_at_three() -> None:
    draw, rounds = np.random.default_rng(7), 800
    shares = {}
    for size in (3, 10):
        groups = draw.normal(7, 0.2, (rounds, 2, size)).tolist()
        shares[size] = sum(covers(bootstrap(*pair, None)) for pair in groups) / rounds
        assert {interval(*pair, None).method for pair in groups[:9]} == {  # type: ignore[union-attr]
            Method.STUDENT if size == 3 else Method.BOOTSTRAP
        }
    assert shares[3] < 0.9
    assert 0.92 <= shares[10] <= 0.97


@pytest.mark.usefixtures("fewer_draws")
def test_the_bootstrap_of_seeds_and_images_covers_at_ten_seeds() -> None:
    draw, rounds = np.random.default_rng(8), 400
    worlds = (make_world(draw, (10, 10), num_images=500, of_seeds=0.1) for _ in range(rounds))
    found = [interval(errors(a), errors(b), paired(a, b)) for a, b in worlds]
    assert {one.over for one in found if one} == {Over.BOTH}
    assert 0.91 <= sum(map(covers, found)) / rounds <= 0.985


@pytest.mark.parametrize("share", [0.002, 0.008])
def test_few_discordant_images_are_covered(share: float) -> None:
    draw, rounds, num_images = np.random.default_rng(9), 2_000, 1_000
    hits = 0
    for _ in range(rounds):
        only_first, only_second, same = draw.multinomial(num_images, (share, share, 1 - 2 * share))
        pairs = paired(
            np.repeat([True, False, True], (only_first, only_second, same))[None],
            np.repeat([False, True, True], (only_first, only_second, same))[None],
        )
        hits += covers(bonett_price(pairs))
    assert hits / rounds >= 0.94


def test_runs_that_judge_alike_still_have_an_interval() -> None:
    wrong = np.array([[True, False] * 50])
    found = interval(errors(wrong), errors(wrong), paired(wrong, wrong))
    assert found is not None
    assert found.method is Method.BONETT_PRICE
    assert found.low < 0 < found.high


def test_of_what_nothing_is_known_there_is_no_interval() -> None:
    assert interval([7.0], [6.0, 6.1], None) is None
    assert interval([7.0, 7.0], [6.0, 6.0], None) is None
    first, second = make_world(np.random.default_rng(10), (1, 3))
    found = interval(errors(first), errors(second), paired(first, second))
    assert found is not None
    assert (found.over, found.p) == (Over.IMAGES, None)
    assert bootstrap(errors(first), errors(second), paired(first, second)) is None


def test_seeds_and_other_data_are_drawn_the_same_each_time() -> None:
    ours, theirs = list(np.linspace(7, 8, 12)), list(np.linspace(6, 7.5, 11))
    found = interval(ours, theirs, None)
    assert found is not None
    assert found == interval(ours, theirs, None)
    assert found.p is not None
    assert 0 < found.p < 0.05
