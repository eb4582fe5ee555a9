"""Views for training: (seed, epoch, sample id) fix a crop, whoever asks for it and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.randomness import uniform
from resnet_cluster.data.views import Crops, Ints, Squares, of_whole, resized_sizes

CROP_STREAM = 1
_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Squares):
    """A random part of the image's area, of a random shape, resized to a square.

    As torchvision's RandomResizedCrop draws it (Szegedy et al. 2014): ten tries, then the centre.

    Attributes:
        side: of the crop, in pixels.
        scale: range of the region's share of the area, uniform.
        ratio: range of the region's width to height, uniform in its logarithm.
        flip: whether a crop is mirrored with probability one half.
        seed, epoch: with a sample's id they fix its crop.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    seed: int
    epoch: int

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        drawn = uniform(self.seed, self.epoch, sample_ids, CROP_STREAM, 2 * _ATTEMPTS + 3)
        width, height = self._sizes(widths, heights, drawn[:, 3:])
        left = _below(widths - width + 1, drawn[:, 0])
        top = _below(heights - height + 1, drawn[:, 1])
        drawn_at_all = width > 0
        width, height = self._or_centre(width, height, widths, heights)
        left = np.where(drawn_at_all, left, (widths - width) // 2)
        top = np.where(drawn_at_all, top, (heights - height) // 2)
        return Crops(
            regions=np.stack((left, top, width, height), axis=1),
            resized=np.full((len(widths), 2), self.side),
            offsets=np.zeros((len(widths), 2), np.int64),
            mirrored=(drawn[:, 2] < 0.5) & self.flip,
            height=self.side,
            width=self.side,
        )

    def _sizes(self, widths: Ints, heights: Ints, drawn: NDArray[np.float64]) -> tuple[Ints, Ints]:
        """The first of the tries that fits into the image; 0 by 0 where none does."""
        least, most = self.scale
        share = least + (most - least) * drawn[:, 0::2]
        low, high = np.log(self.ratio)
        ratio = np.exp(low + (high - low) * drawn[:, 1::2])
        area = (widths * heights)[:, None] * share
        width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (width > 0) & (width <= widths[:, None]) & (height > 0)
        fits &= height <= heights[:, None]
        first = fits.argmax(axis=1)[:, None]
        fitting = np.take_along_axis(fits, first, 1)
        chosen = (np.take_along_axis(side, first, 1) * fitting for side in (width, height))
        width, height = (side[:, 0].astype(np.int64) for side in chosen)
        return width, height

    def _or_centre(
        self, width: Ints, height: Ints, widths: Ints, heights: Ints
    ) -> tuple[Ints, Ints]:
        """Where nothing fitted, as much of the image as the range of shapes allows."""
        narrowest, widest = self.ratio
        shape = widths / heights
        whole_width = np.where(shape > widest, np.rint(heights * widest), widths)
        whole_height = np.where(shape < narrowest, np.rint(widths / narrowest), heights)
        nothing = width == 0
        return (
            np.where(nothing, whole_width.astype(np.int64), width),
            np.where(nothing, whole_height.astype(np.int64), height),
        )


@dataclass(frozen=True, kw_only=True)
class ShorterSideJitter(Squares):
    """The shorter side resized to a random length, and a random crop of that (section 3.4).

    Attributes:
        side: of the crop, in pixels.
        shortest, longest: range of the shorter side, uniform over its integers.
        flip: whether a crop is mirrored with probability one half.
        seed, epoch: with a sample's id they fix its crop.
    """

    shortest: int = 256
    longest: int = 480
    flip: bool = True
    seed: int
    epoch: int

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        drawn = uniform(self.seed, self.epoch, sample_ids, CROP_STREAM, 4)
        span = np.full(len(widths), self.longest - self.shortest + 1)
        resized = resized_sizes(widths, heights, self.shortest + _below(span, drawn[:, 0]))
        offsets = np.stack(
            [_below(resized[:, axis] - self.side + 1, drawn[:, 1 + axis]) for axis in (0, 1)], 1
        )
        mirrored = (drawn[:, 3] < 0.5) & self.flip
        return of_whole(widths, heights, resized, offsets, mirrored, self.side)


def _below(bounds: Ints, drawn: NDArray[np.float64]) -> Ints:
    """Numbers in [0, 1) as integers in [0, bound)."""
    return (bounds * drawn).astype(np.int64)
