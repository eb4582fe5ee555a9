"""Runs on the same test images: which of them they get wrong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.report.statistics import spread


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Images by how many runs of two groups get them wrong.

    Attributes:
        counts: int64 [n + 1, m + 1] of images, for n runs against m.
    """

    counts: NDArray[np.int64]

    @property
    def num_images(self) -> int:
        """Of the test set."""
        return int(self.counts.sum())

    @property
    def differences(self) -> NDArray[np.float64]:
        """Difference of the groups' errors on such an image, in points, shaped as `counts`."""
        n, m = (size - 1 for size in self.counts.shape)
        first, second = np.arange(n + 1) / n, np.arange(m + 1) / m
        return np.asarray(100 * (first[:, None] - second[None, :]), np.float64)

    def by_difference(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each difference that there is, and the share of the images that have it."""
        # Thirds are rounded: equal differences are to be one.
        values, places = np.unique(self.differences.round(9).ravel(), return_inverse=True)
        counts = np.bincount(places, weights=self.counts.ravel())
        return values[counts > 0], counts[counts > 0] / self.num_images

    @property
    def variance(self) -> float:
        """Of the difference, by which images there are: in squared points."""
        shares = self.counts / self.num_images
        mean = (shares * self.differences).sum()
        square = (shares * (self.differences - mean) ** 2).sum()
        return float(square / max(1, self.num_images - 1))


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """What two groups of runs get wrong: bool [runs, images] each, on the same images."""
    n, m = len(first), len(second)
    kinds = first.sum(axis=0) * (m + 1) + second.sum(axis=0)
    counts = np.bincount(kinds, minlength=(n + 1) * (m + 1))
    return Paired(counts=counts.reshape(n + 1, m + 1))


def images_variance(pairs: Paired, first: Sequence[float], second: Sequence[float]) -> float:
    """Variance of the difference by images alone, less what the spread over seeds has of it.

    Args:
        pairs: the images.
        first, second: errors of each group's runs, in percent.

    Returns:
        In squared points; zero where the images add nothing.
    """
    noises = (
        _noise(pairs.counts.sum(axis=1), first),
        _noise(pairs.counts.sum(axis=0), second),
    )
    return max(0.0, pairs.variance - math.fsum(noises))


def _noise(counts: NDArray[np.int64], errors: Sequence[float]) -> float:
    """Variance of a group's mean error by single judgements: what neither seed nor image explains.

    Args:
        counts: int64 [n + 1] images by how many of the n runs get them wrong.
        errors: of the runs, in percent.
    """
    n, num_images = len(errors), int(counts.sum())
    if n == 1:
        return 0.0
    wrong = np.arange(n + 1)
    squares = 1e4 * float((counts * wrong * (n - wrong) / n).sum())
    own = num_images * math.fsum((error - spread(errors).mean) ** 2 for error in errors)
    residual = max(0.0, squares - own) / ((n - 1) * max(1, num_images - 1))
    return residual / (n * num_images)
