"""Mean image and mean colour of a training set, in exact integers until the last division."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.beton import read_squares
from resnet_cluster.data.manifest import Manifest

CHUNK = 512
_PIXELS_AT_ONCE = 1 << 16
assert _PIXELS_AT_ONCE * 255 * 255 < 2**32


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """Statistics of a set of images, in grey levels (0 to 255).

    Attributes:
        pixel_mean: float32 [side, side, 3], the mean image.
        channel_mean: float64 [3].
        channel_std: float64 [3], the deviation over all pixels of all images.
        channel_covariance: float64 [3, 3], of the colours of all pixels; None where it is unknown.
    """

    pixel_mean: NDArray[np.float32]
    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64]
    channel_covariance: NDArray[np.float64] | None


class PixelSums:
    """Sums that `PixelStatistics` follow from: integers, so the order of images cannot matter."""

    def __init__(self, side: int) -> None:
        self._num_images = 0
        self._sum = np.zeros((side, side, 3), np.int64)
        self._products = np.zeros((3, 3), np.int64)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Add images, uint8 [n, side, side, 3]."""
        assert len(images) * 255 < 2**32  # 32-bit sums are ten times as fast as 64-bit ones
        self._num_images += len(images)
        self._sum += images.sum(axis=0, dtype=np.uint32)
        pixels = images.reshape(-1, 3)
        for start in range(0, len(pixels), _PIXELS_AT_ONCE):
            self._add_products(pixels[start : start + _PIXELS_AT_ONCE])

    def _add_products(self, pixels: NDArray[np.uint8]) -> None:
        # A product of two levels finds room in 16 bits, and a sum of so many of them in 32. BLAS
        # would do it too, in threads of its own that get into each other's way here.
        colors = np.ascontiguousarray(pixels.T).astype(np.uint16)
        for one in range(3):
            for other in range(one + 1):
                product = int((colors[one] * colors[other]).sum(dtype=np.uint32))
                self._products[one, other] += product
                if other < one:
                    self._products[other, one] += product

    def merge(self, other: PixelSums) -> None:
        """Add the images that others have added up."""
        self._num_images += other._num_images
        self._sum += other._sum
        self._products += other._products

    def statistics(self) -> PixelStatistics:
        """The statistics of all images added, of which there must be at least one."""
        assert self._num_images > 0
        num_pixels = self._num_images * self._sum.shape[0] * self._sum.shape[1]
        mean = self._sum.sum(axis=(0, 1)) / num_pixels
        covariance = self._products / num_pixels - np.outer(mean, mean)
        return PixelStatistics(
            pixel_mean=(self._sum / self._num_images).astype(np.float32),
            channel_mean=mean,
            channel_std=np.sqrt(np.maximum(covariance.diagonal(), 0.0)),
            channel_covariance=covariance,
        )


def training_statistics(manifest: Manifest, indices: NDArray[np.int64]) -> PixelStatistics:
    """What a run may subtract from its images.

    Of raw squares, over the images that it trains on. Of images of many sizes, as the manifest
    states it: over the 224x224 centres of the whole training split.

    Args:
        manifest: the data set.
        indices: int64, the images to train on.

    Raises:
        IntegrityError: a file is missing, truncated or not what was prepared.
    """
    if manifest.image_size is not None:
        return training_mean(manifest.beton("train"), indices)
    covariance = manifest.channel_covariance
    return PixelStatistics(
        pixel_mean=manifest.pixel_mean(),
        channel_mean=np.array(manifest.channel_mean),
        channel_std=np.array(manifest.channel_std),
        channel_covariance=None if covariance is None else np.array(covariance),
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
