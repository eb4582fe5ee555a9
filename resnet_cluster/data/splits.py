"""Stratified splits: every class gives its share, and the same seed gives the same split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.shuffle import shuffled
from resnet_cluster.errors import UsageError

HOLDOUT_STREAM = 1


def split_holdout(
    labels: NDArray[np.int64], num_holdout: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split indices into a training and a held-out part, class by class.

    Args:
        labels: int64 [n], the class of each image.
        num_holdout: images to hold out; each class gives its proportional share, to within one.
        seed: which images of a class are held out.

    Returns:
        Indices of the training part and of the held-out part, each int64 and ascending.

    Raises:
        UsageError: `num_holdout` is negative or leaves no image to train on.
    """
    if not 0 <= num_holdout < len(labels):
        raise UsageError(
            f"cannot hold out {num_holdout} of {len(labels)} images",
            mend=f"hold out between 0 and {len(labels) - 1}",
        )
    counts = np.bincount(labels)
    held = [
        shuffled(np.flatnonzero(labels == label), (seed, HOLDOUT_STREAM, label))[:quota]
        for label, quota in enumerate(_quotas(counts, num_holdout))
    ]
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), holdout), holdout


def _quotas(counts: NDArray[np.int64], num_holdout: int) -> NDArray[np.int64]:
    """Shares by the largest remainder, in integers: floats would round differently by platform."""
    scaled = counts * num_holdout
    quotas: NDArray[np.int64] = scaled // counts.sum()
    largest_first = np.argsort(-(scaled % counts.sum()), kind="stable")
    quotas[largest_first[: num_holdout - quotas.sum()]] += 1
    return quotas
