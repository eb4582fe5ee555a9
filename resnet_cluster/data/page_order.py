"""An order of an epoch for data larger than memory: at random, yet a few pages at a time.

Images drawn at random from a whole file are read at random from its disk, each of them alone. Here
the pages of a beton are drawn at random into windows, and images only within a window: each page
is read once an epoch, whole, and while a window lasts it stays in the page cache that all ranks of
a node share. ffcv's own order of this kind refuses more than one rank.

Images of a class tend to lie together in a file. So a window takes its pages from everywhere: the
file is cut into as many stretches as a window has pages, and each window has one of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.order import epoch_order
from resnet_cluster.data.shuffle import shuffled

WINDOW_STREAM = 5


@dataclass(frozen=True, eq=False)
class PageOrder:
    """An epoch's order, window by window.

    Attributes:
        places: int64 [n], the images in the order in which they are visited.
        starts: int64 [num_windows + 1], where each window's images begin in it, and its end.
        pages: for each window its pages, int64, in the order of the file.
    """

    places: NDArray[np.int64]
    starts: NDArray[np.int64]
    pages: tuple[NDArray[np.int64], ...]


def page_order(
    indices: NDArray[np.int64],
    page_of: NDArray[np.int64],
    *,
    window_pages: int,
    seed: int,
    epoch: int,
) -> PageOrder:
    """The order in which an epoch visits `indices`.

    A pure function of its arguments, the same on every platform; where all pages find room in one
    window it is `epoch_order`.

    Args:
        indices: int64 [n], images of a beton.
        page_of: int64 [images of the beton], the page on which each lies.
        window_pages: pages of a window, at most.
        seed: of the run.
        epoch: counted from 0.
    """
    assert window_pages > 0
    used = np.unique(page_of[indices])
    windows = _windows(len(used), window_pages, seed, epoch)
    in_random_order = epoch_order(indices, seed=seed, epoch=epoch)
    window = windows[np.searchsorted(used, page_of[in_random_order])]
    num_windows = int(windows.max()) + 1
    return PageOrder(
        places=in_random_order[np.argsort(window, kind="stable")],
        starts=np.concatenate(([0], np.bincount(window, minlength=num_windows).cumsum())),
        pages=tuple(used[windows == number] for number in range(num_windows)),
    )


def _windows(num_pages: int, window_pages: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The window of each page, int64 [num_pages]: one page of every stretch in each window."""
    window_pages = min(window_pages, num_pages)
    num_windows = -(-num_pages // window_pages)
    windows = np.empty(num_pages, np.int64)
    for number, stretch in enumerate(np.array_split(np.arange(num_pages), window_pages)):
        # A stretch may have a page less than there are windows; another window lacks it each time.
        drawn = shuffled(np.arange(num_windows), (seed, WINDOW_STREAM, epoch, number))
        windows[stretch] = drawn[: len(stretch)]
    return windows
