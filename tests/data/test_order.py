from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.data import (
    epoch_order,
    rank_batches,
    rank_micro_batches,
    steps_per_epoch,
)
from resnet_cluster.errors import UsageError


@given(
    num_micro_batches=st.integers(1, 9),
    group=st.integers(1, 5),
    extra=st.integers(0, 120),
    data=st.data(),
)
def test_the_ranks_of_any_world_size_together_train_on_the_epochs_order(
    num_micro_batches: int, group: int, extra: int, data: st.DataObject
) -> None:
    batch = num_micro_batches * group
    world_size = data.draw(st.integers(1, num_micro_batches))
    order = epoch_order(np.arange(1000, 1000 + batch + extra), seed=1, epoch=2)
    num_steps = steps_per_epoch(len(order), batch)
    first_step = data.draw(st.integers(0, num_steps))
    steps: list[list[int]] = [[] for _ in range(first_step, num_steps)]
    for rank in range(world_size):
        mine = rank_batches(
            order,
            global_batch_size=batch,
            bn_group=group,
            world_rank=rank,
            world_size=world_size,
            first_step=first_step,
        )
        each = len(mine) // max(len(steps), 1)
        for step, places in enumerate(steps):
            for micro_batch in mine[step * each : (step + 1) * each]:
                places.extend(micro_batch.tolist())
    for step, places in enumerate(steps, start=first_step):
        assert places == order[step * batch : (step + 1) * batch].tolist()


@given(num_micro_batches=st.integers(1, 40), data=st.data())
def test_no_rank_has_more_than_one_micro_batch_more_than_another(
    num_micro_batches: int, data: st.DataObject
) -> None:
    world_size = data.draw(st.integers(1, num_micro_batches))
    counts = [
        len(
            rank_micro_batches(
                global_batch_size=num_micro_batches * 2,
                bn_group=2,
                world_rank=rank,
                world_size=world_size,
            )
        )
        for rank in range(world_size)
    ]
    assert sum(counts) == num_micro_batches
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1


@given(indices=st.sets(st.integers(0, 10_000), min_size=1, max_size=200), epoch=st.integers(0, 300))
def test_an_epoch_visits_every_index_once(indices: set[int], epoch: int) -> None:
    order = epoch_order(np.asarray(sorted(indices), np.int64), seed=3, epoch=epoch)
    assert sorted(order.tolist()) == sorted(indices)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    indices = np.arange(100)
    orders = {
        tuple(epoch_order(indices, seed=seed, epoch=epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_the_order_of_a_seed_and_epoch_stays_what_it_was() -> None:
    keys = np.random.Philox(np.random.SeedSequence([11, 2, 4])).random_raw(50)
    assert epoch_order(np.arange(50), seed=11, epoch=4).tolist() == np.argsort(keys).tolist()


def test_every_place_is_equally_likely() -> None:
    from scipy.stats import chisquare

    counts = np.zeros((8, 8))
    for epoch in range(2000):
        counts[np.arange(8), epoch_order(np.arange(8), seed=0, epoch=epoch)] += 1
    assert chisquare(counts.ravel()).pvalue > 1e-3


def test_a_part_of_a_global_batch_is_left_out() -> None:
    assert steps_per_epoch(50_000, 128) == 390
    assert steps_per_epoch(128, 128) == 1


@pytest.mark.parametrize(
    ("batch", "group", "workers", "message", "mend"),
    [
        (128, 48, 1, "bn_group 48 does not divide", "divides"),
        (128, 0, 1, "bn_group 0 does not divide", "divides"),
        (128, 64, 3, "3 workers share 2 micro-batches", "--workers 2"),
    ],
)
def test_a_division_that_cannot_be_is_refused(
    batch: int, group: int, workers: int, message: str, mend: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        rank_micro_batches(
            global_batch_size=batch, bn_group=group, world_rank=0, world_size=workers
        )
    assert mend in caught.value.mend


def test_fewer_images_than_a_global_batch_are_refused() -> None:
    with pytest.raises(UsageError, match="100 training images do not fill") as caught:
        steps_per_epoch(100, 128)
    assert "train.global_batch_size to 100" in caught.value.mend
