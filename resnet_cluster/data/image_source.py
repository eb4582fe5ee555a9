"""The images of a beton, brought into a batch's buffer: gathered as they are, or cut by a view."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.beton import JPEG_MODE, BetonIndex, RawSquares, read_index
from resnet_cluster.data.manifest import Manifest
from resnet_cluster.data.manifest_fields import SplitName
from resnet_cluster.data.pixels import Cutter
from resnet_cluster.data.views import View
from resnet_cluster.errors import PreflightError
from resnet_cluster.host_memory import available_bytes

NUM_BUFFERS = 5
"""Batches in memory at once: FFCV's three ahead, one that is filled and one in use."""


class ImageSource:
    """Fills buffers with images; one epoch at a time shows them by one view.

    Args:
        index: the beton's tables.
        num_threads: that cut images.
        checksums: uint32 [n], the CRC-32 of each image's bytes; None where they are not known.
    """

    def __init__(
        self,
        index: BetonIndex,
        *,
        num_threads: int = 1,
        checksums: NDArray[np.uint32] | None = None,
    ) -> None:
        self.index = index
        self.batch_bytes = 0
        """Room for the pixels of any batch of the epoch under way."""
        self._view: View | None = None
        self.bad: dict[int, str] = {}
        """Why an image that was asked for is damaged, by its place in the beton."""
        self._num_threads = num_threads
        self._cutter = Cutter(index, checksums)
        file = self._cutter.file
        self._windows = None if index.side is None else RawSquares(index, index.side).windows(file)
        self._pool: ThreadPoolExecutor | None = None

    def begin(self, batches: Sequence[NDArray[np.int64]], view: View | None) -> None:
        """Begin an epoch.

        Args:
            batches: places in the beton, int64 [b] each.
            view: what is seen of an image; None shows raw squares of one size as they are.

        Raises:
            PreflightError: the batches do not find room in memory.
        """
        self._view = view
        self.batch_bytes = max(map(self._bytes_of, batches), default=0)
        available = available_bytes()
        if NUM_BUFFERS * self.batch_bytes > available:
            raise PreflightError(
                f"{self.index.path}: {NUM_BUFFERS} of its largest batches come to "
                f"{NUM_BUFFERS * self.batch_bytes / 2**20:,.0f} MiB of pixels, and "
                f"{available / 2**20:,.0f} MiB of memory are available",
                mend="use smaller crops, scales or groups (data.crop, evaluate.scales, "
                "train.bn_group), or a machine with more memory",
            )

    def fill(self, places: NDArray[np.int64], room: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring the images of a batch into a buffer.

        Args:
            places: int64 [b], of the images in the beton.
            room: uint8, contiguous, of at least `batch_bytes` in all.

        Returns:
            uint8 [b * num_crops, height, width, 3]: the part of `room` that was filled.
        """
        if self._view is None:
            return self._gather(places, room)
        return self._cut(self._view, places, room)

    def leave_pages(self, pages: NDArray[np.int64]) -> None:
        """Let pages of the beton out of memory, where all of it does not find room.

        The kernel would rather part with pages that were read ahead and not yet looked at.
        """
        mapping: mmap.mmap = self._cutter.file._mmap  # type: ignore[attr-defined]
        page_bytes = self.index.page_bytes
        if len(mapping) <= available_bytes():
            return
        with contextlib.suppress(OSError), self.index.path.open("rb") as file:
            for start in (pages * page_bytes).tolist():
                # Out of this process, and then out of the cache: the last rank's word is heard.
                mapping.madvise(mmap.MADV_DONTNEED, start, page_bytes)
                os.posix_fadvise(file.fileno(), start, page_bytes, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _bytes_of(self, places: NDArray[np.int64]) -> int:
        """Of the pixels of a batch."""
        if self._view is None:
            assert self.index.side is not None, "images of many sizes are seen through a view"
            return 3 * len(places) * self.index.side**2
        widths, heights = self.index.widths[places], self.index.heights[places]
        pixels = self._view.most_pixels(widths, heights)
        return 3 * len(places) * self._view.num_crops * pixels

    def _gather(self, places: NDArray[np.int64], room: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Raw squares, by one gather of numpy's."""
        side = self.index.side
        assert self._windows is not None
        assert side is not None
        gathered = self._windows[self.index.pointers[places]]
        shape = (len(places), side, side, 3)
        images = room.reshape(-1)[: math.prod(shape)].reshape(shape)
        images[:] = gathered.view(np.uint8).reshape(shape)
        return images

    def _cut(
        self, view: View, places: NDArray[np.int64], room: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        crops = view.crops(self.index.widths[places], self.index.heights[places], places)
        shape = (len(crops), crops.height, crops.width, 3)
        images = room.reshape(-1)[: math.prod(shape)].reshape(shape)
        cut_of = np.repeat(places, view.num_crops)
        for bad in self._cutter.cut(cut_of, crops, images, self._threads()):
            self.bad[int(cut_of[bad.place])] = bad.why
        return images

    def _threads(self) -> ThreadPoolExecutor | None:
        if self._num_threads > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_threads, "images")
        return self._pool


def open_images(manifest: Manifest, split: SplitName, *, num_threads: int = 1) -> ImageSource:
    """The images of a prepared split, for one loader.

    Raises:
        IntegrityError: a file is missing, truncated or not what was prepared.
    """
    index = read_index(manifest.beton(split))
    checksums = manifest.checksums(split) if (index.modes == JPEG_MODE).any() else None
    return ImageSource(index, num_threads=num_threads, checksums=checksums)
