"""Which samples a step trains on, and which of them a rank sees.

The experiment does not depend on the number of workers. An epoch has one seeded order; global
step t trains on places [tB, (t+1)B) of it; a global batch is M = B / G micro-batches of G
samples (G is the batch-normalisation group); rank r of W takes the micro-batches
[rM // W, (r+1)M // W), so counts may differ by one between ranks. The tail of an epoch that
does not fill a global batch is left out: a smaller normalisation group, or a step with fewer
samples, would be another experiment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.shuffle import shuffled
from resnet_cluster.errors import UsageError

EPOCH_STREAM = 2


def epoch_order(indices: NDArray[np.int64], *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch visits `indices`: a permutation, int64 [n].

    A pure function of (indices, seed, epoch), the same on every platform.
    """
    return shuffled(indices, (seed, EPOCH_STREAM, epoch))


def steps_per_epoch(num_images: int, global_batch_size: int) -> int:
    """Optimiser steps of one epoch.

    Raises:
        UsageError: the images do not fill one global batch.
    """
    if num_images < global_batch_size:
        raise UsageError(
            f"{num_images} training images do not fill one global batch of {global_batch_size}",
            mend=f"set train.global_batch_size to {num_images} or less, in whole groups",
        )
    return num_images // global_batch_size


def rank_micro_batches(
    *, global_batch_size: int, bn_group: int, world_rank: int, world_size: int
) -> range:
    """The places, within a global batch, of the micro-batches that a rank computes.

    Raises:
        UsageError: the normalisation group does not divide the global batch, or there are more
            workers than micro-batches.
    """
    assert 0 <= world_rank < world_size
    num_micro_batches = count_micro_batches(global_batch_size, bn_group)
    if world_size > num_micro_batches:
        raise UsageError(
            f"{world_size} workers share {num_micro_batches} micro-batches a step "
            f"(a global batch of {global_batch_size} in groups of {bn_group})",
            mend=f"use --workers {num_micro_batches} or fewer, or a smaller train.bn_group",
        )
    return range(
        world_rank * num_micro_batches // world_size,
        (world_rank + 1) * num_micro_batches // world_size,
    )


def count_micro_batches(global_batch_size: int, bn_group: int) -> int:
    """Micro-batches of a global batch.

    Raises:
        UsageError: the normalisation group does not divide the global batch.
    """
    if bn_group < 1 or global_batch_size < 1 or global_batch_size % bn_group:
        raise UsageError(
            f"train.bn_group {bn_group} does not divide train.global_batch_size "
            f"{global_batch_size}",
            mend="choose a group that divides the global batch",
        )
    return global_batch_size // bn_group


def rank_batches(
    order: NDArray[np.int64],
    *,
    global_batch_size: int,
    bn_group: int,
    world_rank: int,
    world_size: int,
    first_step: int = 0,
) -> NDArray[np.int64]:
    """The micro-batches that a rank computes in the rest of an epoch.

    Args:
        order: the epoch's order, int64 [n].
        first_step: the global step to begin at: an epoch that was cut off goes on there.

    Returns:
        int64 [steps left * micro-batches of this rank, bn_group], step after step.

    Raises:
        UsageError: see `rank_micro_batches` and `steps_per_epoch`.
    """
    mine = rank_micro_batches(
        global_batch_size=global_batch_size,
        bn_group=bn_group,
        world_rank=world_rank,
        world_size=world_size,
    )
    num_steps = steps_per_epoch(len(order), global_batch_size)
    assert 0 <= first_step <= num_steps
    steps = order[: num_steps * global_batch_size].reshape(num_steps, -1, bn_group)
    return steps[first_step:, mine.start : mine.stop].reshape(-1, bn_group)
