from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.data import split_holdout
from resnet_cluster.errors import UsageError

LABELS = st.lists(st.integers(0, 6), min_size=2, max_size=200).map(
    lambda labels: np.asarray(labels, np.int64)
)


@given(labels=LABELS, share=st.fractions(0, 1), seed=st.integers(0, 2**40))
def test_every_image_is_in_one_part_and_every_class_gives_its_share(
    labels: np.ndarray, share: Fraction, seed: int
) -> None:
    num_holdout = min(int(share * len(labels)), len(labels) - 1)
    train, holdout = split_holdout(labels, num_holdout, seed)
    assert len(holdout) == num_holdout
    assert sorted([*train.tolist(), *holdout.tolist()]) == list(range(len(labels)))
    assert train.tolist() == sorted(train.tolist())
    assert holdout.tolist() == sorted(holdout.tolist())
    for label in set(labels.tolist()):
        exact = Fraction(int((labels == label).sum()) * num_holdout, len(labels))
        assert abs(int((labels[holdout] == label).sum()) - exact) < 1


def test_45000_of_cifar_are_4500_of_each_class() -> None:
    labels = np.repeat(np.arange(10), 5000)
    train, holdout = split_holdout(labels, 5000, seed=7)
    assert np.bincount(labels[train]).tolist() == [4500] * 10
    assert np.bincount(labels[holdout]).tolist() == [500] * 10


def test_the_seed_alone_decides_who_is_held_out() -> None:
    labels = np.repeat(np.arange(4), 25)
    first, again, other = (split_holdout(labels, 20, seed)[1] for seed in (3, 3, 4))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_split_of_a_seed_stays_what_it_was() -> None:
    # Worked out from numpy's documented Philox and SeedSequence streams: a stored result names
    # its seed, so another split under that seed would be another experiment under its name.
    labels = np.asarray([0, 0, 0, 0, 1, 1, 1, 1], np.int64)
    held = []
    for label in (0, 1):
        keys = np.random.Philox(np.random.SeedSequence([5, 1, label])).random_raw(4)
        held.extend(sorted((4 * label + np.argsort(keys)[:2]).tolist()))
    assert split_holdout(labels, 4, 5)[1].tolist() == held


@pytest.mark.parametrize("num_holdout", [-1, 4, 5])
def test_a_holdout_that_leaves_nothing_is_refused(num_holdout: int) -> None:
    with pytest.raises(UsageError, match=f"cannot hold out {num_holdout} of 4"):
        split_holdout(np.zeros(4, np.int64), num_holdout, 0)
