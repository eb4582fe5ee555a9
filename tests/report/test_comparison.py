"""Verdicts on pairs of groups: how often they are wrong, and their words."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from factories import CIFAR10, make_evaluation, make_job, make_run_record, make_summary
from numpy.typing import NDArray

from resnet_cluster.report import resampling
from resnet_cluster.report.comparison import Contender, Contrast, Outcome, compare
from resnet_cluster.report.comparison_wording import unlike_text, verdict_text
from resnet_cluster.report.measured import measured
from resnet_cluster.report.seed_groups import SeedGroup, seeds_of
from resnet_cluster.results import RunSummary

DEPTHS = (20, 32, 44, 56)
NUM_IMAGES = 1_000
FACTS = CIFAR10.model_copy(update={"num_test_images": NUM_IMAGES})


@functools.cache
def make_run(depth: int, seed: int) -> RunSummary:
    job = make_job({"name": f"r{depth}-{seed}", "seed": seed, "model.depth": depth})
    return make_summary(make_run_record(job, dataset=FACTS, run_id=f"r-{depth:04d}{seed:04d}"))


def make_group(depth: int, errors: list[float]) -> SeedGroup:
    """Runs of one experiment with these errors."""
    runs = [make_run(depth, seed) for seed in range(len(errors))]
    figures = measured(
        replace(run, evaluations=(make_evaluation(run.record, err),))
        for run, err in zip(runs, errors, strict=True)
    )
    return seeds_of(figures[0], figures)


def contend(*groups: list[float], wrong: list[NDArray[np.bool_]] | None = None) -> list[Contender]:
    return [
        Contender(group=make_group(depth, errors), wrong=wrong[place] if wrong else None)
        for place, (depth, errors) in enumerate(zip(DEPTHS, groups, strict=False))
    ]


def words_of(contrast: Contrast, *, is_family: bool = False) -> str:
    return verdict_text(contrast, {contrast.first: "A", contrast.second: "B"}, is_family=is_family)


@pytest.mark.parametrize("has_images", [False, True])
def test_at_most_one_family_in_twenty_has_a_wrong_verdict(
    has_images: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "DRAWS", 10)
    draw, rounds, num_wrong = np.random.default_rng(11), 120, 0
    for _ in range(rounds):
        hardness = draw.normal(-3, 2, NUM_IMAGES)
        odds = hardness + draw.normal(0, 0.8, (3, 1, NUM_IMAGES)) + draw.normal(0, 0.1, (3, 3, 1))
        wrong = list(draw.random((3, 3, NUM_IMAGES)) < 1 / (1 + np.exp(-odds)))
        if has_images:
            groups = [(100 * each.mean(axis=1)).tolist() for each in wrong]
        else:
            groups = draw.normal(7, 0.2, (3, 3)).tolist()
        found = compare(contend(*groups, wrong=wrong if has_images else None), 0.2)
        assert len(found) == 3
        num_wrong += any(each.outcome is not Outcome.OPEN for each in found)
    assert num_wrong / rounds < 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


def test_a_large_difference_is_found_whichever_comes_first() -> None:
    worse, better = [8.7, 8.8, 8.65], [7.4, 7.5, 7.6]
    (found,) = compare(contend(worse, better), 0.2)
    assert found.outcome is Outcome.SECOND
    assert words_of(found).startswith("B is better by 1.22 points (95 %: ")
    (found,) = compare(contend(better, worse), 0.2)
    assert found.outcome is Outcome.FIRST
    assert words_of(found).startswith("A is better by 1.22 points (95 %: ")
    assert unlike_text(found) == "model ResNet-20, ResNet-32"


def test_a_difference_of_these_images_alone_is_not_settled() -> None:
    """All seeds of a group judge alike but for a few images: of others the ten say nothing."""
    base = np.zeros((2, 3, NUM_IMAGES), bool)
    base[0, :, :70] = True
    base[1, :, 8:70] = True
    for seed in range(3):
        base[:, seed, 500 + seed : 501 + 2 * seed] = True
    base[0, :, 900:915] = base[1, :, 950:965] = True
    groups = [(100 * each.mean(axis=1)).tolist() for each in base]
    (seeds_only,) = compare(contend(*groups), 0.2)
    assert seeds_only.outcome is Outcome.SECOND
    (found,) = compare(contend(*groups, wrong=list(base)), 0.2)
    assert found.outcome is Outcome.OPEN
    assert found.welch == seeds_only.welch
    assert "by the interval" in words_of(found)
    # Thirty-eight of the thousand images have one group err: 38 * 0.001^2, less what seeds explain.
    assert found.images_tell == pytest.approx(2.80 * 100 * 38**0.5 / 1000, rel=0.05)
    assert f"no number of seeds tells less than {found.images_tell:.2f} points" in words_of(found)
    assert seeds_only.images_tell is None


def test_what_is_said_where_nothing_is_settled() -> None:
    (found,) = compare(contend([7.0, 7.2, 7.4], [6.9, 7.3]), 0.2)
    text = words_of(found, is_family=True)
    assert text.startswith("Not settled: A - B is +0.10 points (95 %: ")
    assert "Holm" in text
    assert found.needed is not None
    first, second = found.needed.more
    assert f"{first} more of A and {second} more of B would tell 0.2 points apart" in text
    (found,) = compare(contend([7.0, 7.01], [7.0, 7.02]), 0.2)
    assert "There are seeds enough to tell 0.2 points apart" in words_of(found)
    (found,) = compare(contend([7.0, 9.0], [7.0, 9.1]), 0.001)
    assert "1,000 seeds or more are needed" in words_of(found)
    (found,) = compare(contend([7.0], [7.0]), 0.2)
    assert "A single seed of A and of B does not say" in words_of(found)
