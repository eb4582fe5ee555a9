"""Mean image and mean colour of a training set, in exact integers until the last division."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.beton import read_squares

CHUNK = 512


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """Statistics of a set of images, in grey levels (0 to 255).

    Attributes:
        pixel_mean: float32 [side, side, 3], the mean image.
        channel_mean: float64 [3].
        channel_std: float64 [3], the deviation over all pixels of all images.
    """

    pixel_mean: NDArray[np.float32]
    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64]


class PixelSums:
    """Sums that `PixelStatistics` follow from: integers, so the order of images cannot matter."""

    def __init__(self, side: int) -> None:
        self._num_images = 0
        self._sum = np.zeros((side, side, 3), np.int64)
        self._squares = np.zeros(3, np.int64)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Add images, uint8 [n, side, side, 3]."""
        assert len(images) * 255 * 255 < 2**32  # 32-bit sums are ten times as fast as 64-bit ones
        self._num_images += len(images)
        levels = images.astype(np.uint32)
        self._sum += levels.sum(axis=0, dtype=np.uint32)
        levels *= levels
        squares = levels.sum(axis=0, dtype=np.uint32)
        self._squares += squares.sum(axis=(0, 1), dtype=np.int64)

    def merge(self, other: PixelSums) -> None:
        """Add the images that others have added up."""
        self._num_images += other._num_images
        self._sum += other._sum
        self._squares += other._squares

    def statistics(self) -> PixelStatistics:
        """The statistics of all images added, of which there must be at least one."""
        assert self._num_images > 0
        num_pixels = self._num_images * self._sum.shape[0] * self._sum.shape[1]
        mean = self._sum.sum(axis=(0, 1)) / num_pixels
        variance = self._squares / num_pixels - mean * mean
        return PixelStatistics(
            pixel_mean=(self._sum / self._num_images).astype(np.float32),
            channel_mean=mean,
            channel_std=np.sqrt(np.maximum(variance, 0.0)),
        )


def training_mean(beton: Path, indices: NDArray[np.int64]) -> PixelStatistics:
    """The statistics of the images that a run trains on, in bounded memory.

    The mean of a hold-out run is over its own 45,000 images, not over those it holds out.

    Raises:
        IntegrityError: the file is missing, truncated or not such a beton.
    """
    squares = read_squares(beton)
    sums = PixelSums(squares.side)
    in_file_order = np.sort(indices)
    for start in range(0, len(indices), CHUNK):
        sums.add(squares.read(in_file_order[start : start + CHUNK]))
    return sums.statistics()
