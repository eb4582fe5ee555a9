"""Views of images: which part of each is resized, and which window of that a network sees.

A view is arithmetic on sizes: it touches no pixels. What it says is cut by `pixels`. Those of
training are in `random_views`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
class Squares:
    """Views whose windows are squares of one size."""

    side: int

    @property
    def num_crops(self) -> int:
        return 1

    def most_pixels(self, widths: Ints, heights: Ints) -> int:
        return self.side**2


@dataclass(frozen=True, kw_only=True)
class CentreCrop(Squares):
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
        return of_whole(widths, heights, resized, offsets, mirrored, self.side)


@dataclass(frozen=True, kw_only=True)
class TenCrop(Squares):
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
        return of_whole(widths, heights, resized, offsets, mirrored, self.side)


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


def of_whole(
    widths: Ints,
    heights: Ints,
    resized: Ints,
    offsets: Ints,
    mirrored: NDArray[np.bool_],
    side: int,
) -> Crops:
    """Windows of whole images, `side` by `side`."""
    return Crops(_whole(widths, heights), resized, offsets, mirrored, side, side)
