"""Views of images: which part of each is resized, and which window of that a network sees.

A view is arithmetic on sizes: it touches no pixels. What it says is cut by `pixels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.randomness import uniform

CROP_STREAM = 1
_ATTEMPTS = 10
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crops:
    """One crop of each of n images. A region of the image is resized, and a window of that kept.

    Attributes:
        regions: int64 [n, 4], left, top, width and height in the image's pixels.
        resized: int64 [n, 2], width and height that the region is resized to.
        offsets: int64 [n, 2], left and top of the window in the resized region.
        mirrored: bool [n], whether the window is mirrored.
        height, width: of every window, in pixels.
    """

    regions: Ints
    resized: Ints
    offsets: Ints
    mirrored: NDArray[np.bool_]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.mirrored)


class View(Protocol):
    """What a network sees of an image."""

    @property
    def num_crops(self) -> int:
        """Crops of each image."""

    def most_pixels(self, widths: Ints, heights: Ints) -> int:
        """Pixels of a window, at most, over images of these sizes."""

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        """`num_crops` crops of each image, image after image.

        Args:
            widths, heights: int64 [n], of the images.
            sample_ids: int64 [n], their places in the beton: what randomness is seeded by.
        """


@dataclass(frozen=True, kw_only=True)
class _Squares:
    """Views whose windows are squares of one size."""

    side: int

    @property
    def num_crops(self) -> int:
        return 1

    def most_pixels(self, widths: Ints, heights: Ints) -> int:
        return self.side**2


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(_Squares):
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
class ShorterSideJitter(_Squares):
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
        return _of_whole(widths, heights, resized, offsets, mirrored, self.side)


@dataclass(frozen=True, kw_only=True)
class CentreCrop(_Squares):
    """The centre of an image whose shorter side is resized; as torchvision's Resize, CenterCrop.

    Attributes:
        side: of the crop, in pixels.
        resize: length of the shorter side, at least `side`.
    """

    resize: int

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        resized = resized_sizes(widths, heights, np.full(len(widths), self.resize))
        offsets = _centre(resized, self.side)
        mirrored = np.zeros(len(widths), np.bool_)
        return _of_whole(widths, heights, resized, offsets, mirrored, self.side)


@dataclass(frozen=True, kw_only=True)
class TenCrop(_Squares):
    """Corners and centre of an image whose shorter side is resized, then those of its mirror image.

    In torchvision's order: top left, top right, bottom left, bottom right, centre (section 3.4,
    after Krizhevsky et al. 2012).

    Attributes:
        side: of each crop, in pixels.
        resize: length of the shorter side, at least `side`.
    """

    resize: int

    @property
    def num_crops(self) -> int:
        return 10

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        resized = resized_sizes(widths, heights, np.full(len(widths), self.resize))
        room = resized - self.side
        corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
        upright = room[:, None] * corners
        upright = np.concatenate((upright, _centre(resized, self.side)[:, None]), axis=1)
        mirror = upright.copy()
        mirror[:, :, 0] = room[:, :1] - upright[:, :, 0]
        offsets = np.concatenate((upright, mirror), axis=1).reshape(-1, 2)
        mirrored = np.tile(np.arange(10) >= 5, len(widths))
        widths, heights, resized = (
            np.repeat(each, 10, axis=0) for each in (widths, heights, resized)
        )
        return _of_whole(widths, heights, resized, offsets, mirrored, self.side)


@dataclass(frozen=True, kw_only=True)
class WholeImage:
    """All of an image whose shorter side is resized: for networks that take any size (section 3.4).

    The images of a batch must come to one size.

    Attributes:
        resize: length of the shorter side.
        mirrored: whether the image is mirrored.
    """

    resize: int
    mirrored: bool = False

    @property
    def num_crops(self) -> int:
        return 1

    def most_pixels(self, widths: Ints, heights: Ints) -> int:
        return int(self.sizes(widths, heights).prod(axis=1).max())

    def sizes(self, widths: Ints, heights: Ints) -> Ints:
        """Width and height that images come to: int64 [n, 2]."""
        return resized_sizes(widths, heights, np.full(len(widths), self.resize))

    def crops(self, widths: Ints, heights: Ints, sample_ids: Ints) -> Crops:
        resized = self.sizes(widths, heights)
        assert (resized == resized[0]).all(), "images of one batch come to several sizes"
        return Crops(
            regions=_whole(widths, heights),
            resized=resized,
            offsets=np.zeros_like(resized),
            mirrored=np.full(len(widths), self.mirrored),
            height=int(resized[0, 1]),
            width=int(resized[0, 0]),
        )


def resized_sizes(widths: Ints, heights: Ints, shorter_sides: Ints) -> Ints:
    """Width and height once the shorter side has a length, as torchvision's Resize rounds them."""
    shorter = np.minimum(widths, heights)
    longer_side = (shorter_sides * np.maximum(widths, heights) / shorter).astype(np.int64)
    return np.stack(
        (
            np.where(widths <= heights, shorter_sides, longer_side),
            np.where(widths <= heights, longer_side, shorter_sides),
        ),
        axis=1,
    )


def _centre(resized: Ints, side: int) -> Ints:
    return np.rint((resized - side) / 2).astype(np.int64)


def _whole(widths: Ints, heights: Ints) -> Ints:
    zero = np.zeros_like(widths)
    return np.stack((zero, zero, widths, heights), axis=1)


def _of_whole(
    widths: Ints,
    heights: Ints,
    resized: Ints,
    offsets: Ints,
    mirrored: NDArray[np.bool_],
    side: int,
) -> Crops:
    return Crops(_whole(widths, heights), resized, offsets, mirrored, side, side)


def _below(bounds: Ints, drawn: NDArray[np.float64]) -> Ints:
    """Numbers in [0, 1) as integers in [0, bound)."""
    return (bounds * drawn).astype(np.int64)
