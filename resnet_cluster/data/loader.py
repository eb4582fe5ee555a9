"""Batches for training and for evaluation: uint8 pixels on the device, in a planned order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.data.batches import BatchIterator, EveryImage
from resnet_cluster.data.image_source import ImageSource
from resnet_cluster.data.order import (
    epoch_order,
    rank_batches,
    rank_micro_batches,
    steps_per_epoch,
)
from resnet_cluster.data.page_order import PageOrder, page_order
from resnet_cluster.data.page_reader import PageReader, ReadAhead
from resnet_cluster.data.reader import BetonReader
from resnet_cluster.data.views import View, WholeImage
from resnet_cluster.errors import UsageError

BATCH_DEADLINE_S = 120.0
MAX_VIEW_PIXELS = 2**24
"""Of an image as a network sees it: 200 MB of floats, and some GB within the network."""


class TrainLoader:
    """The micro-batches that one rank trains on; build it once and use it for every epoch.

    Args:
        source: the training split's images; no other loader's.
        indices: int64, the images to train on.
        global_batch_size: images a global step, over all ranks.
        bn_group: images a micro-batch; it divides the global batch.
        seed: of every epoch's order.
        device: where batches are put.
        views: the view of an epoch, counted from 0; None takes raw squares as they are.
        shuffle_pages: pages of the beton that are shuffled together; 0 shuffles all images.
        local_rank, local_world_size: of the ranks on this node: they read pages ahead together.
        deadline_s: seconds that a batch may take.

    Raises:
        UsageError: the batch sizes do not fit each other, the images or the number of workers.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        indices: NDArray[np.int64],
        global_batch_size: int,
        bn_group: int,
        world_rank: int,
        world_size: int,
        seed: int,
        device: torch.device | str,
        views: Callable[[int], View] | None = None,
        shuffle_pages: int = 0,
        local_rank: int = 0,
        local_world_size: int = 1,
        deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(indices), global_batch_size)
        self.micro_batches = rank_micro_batches(
            global_batch_size=global_batch_size,
            bn_group=bn_group,
            world_rank=world_rank,
            world_size=world_size,
        )
        """Places, within a global batch, of the micro-batches that `batches` yields a step."""
        self._indices, self._seed = indices, seed
        self._global_batch_size, self._bn_group = global_batch_size, bn_group
        self._world_rank, self._world_size = world_rank, world_size
        self._device = torch.device(device)
        self._source, self._views = source, views
        self._shuffle_pages = shuffle_pages
        self._local_rank, self._local_world_size = local_rank, local_world_size
        self._reader = BetonReader(source, deadline_s=deadline_s)

    def batches(self, epoch: int, first_step: int = 0) -> BatchIterator:
        """The micro-batches of an epoch from `first_step` on, `len(micro_batches)` a step."""
        paged = self._page_order(epoch) if self._shuffle_pages else None
        micro_batches = rank_batches(
            paged.places if paged else epoch_order(self._indices, seed=self._seed, epoch=epoch),
            global_batch_size=self._global_batch_size,
            bn_group=self._bn_group,
            world_rank=self._world_rank,
            world_size=self._world_size,
            first_step=first_step,
        )
        view = self._views(epoch) if self._views else None
        places = list(micro_batches)
        batches = self._reader.read(places, view)
        ahead = self._read_ahead(paged, first_step) if paged else None
        return BatchIterator(batches, places, self._source.bad, self._device, ahead)

    def _page_order(self, epoch: int) -> PageOrder:
        return page_order(
            self._indices,
            self._source.index.pages,
            window_pages=self._shuffle_pages,
            seed=self._seed,
            epoch=epoch,
        )

    def _read_ahead(self, order: PageOrder, first_step: int) -> ReadAhead:
        first_place = first_step * self._global_batch_size
        reader = PageReader(
            self._reader.path,
            self._source.index.page_bytes,
            order,
            first_place=first_place,
            leave=self._source.leave_pages,
            local_rank=self._local_rank,
            local_world_size=self._local_world_size,
        )
        return ReadAhead(reader, first_place, self._global_batch_size / len(self.micro_batches))


class EvalLoader:
    """Every image of one rank, each exactly once over all ranks, unaugmented.

    Args:
        source: the split's images; no other loader's.
        indices: int64, the images to evaluate.
        batch_size: images a batch, at most. A rank may have no batch at all.
        batch_pixels: of a batch, at most, over all crops of its images; it has one image at least.
        device: where batches are put.
        view: what is seen of an image, unless `batches` is told otherwise; None takes raw squares
            as they are.
        deadline_s: seconds that a batch may take.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        indices: NDArray[np.int64],
        batch_size: int,
        batch_pixels: int = 10**9,
        world_rank: int,
        world_size: int,
        device: torch.device | str,
        view: View | None = None,
        deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        assert 0 <= world_rank < world_size
        self._indices = indices[world_rank::world_size]
        self._batch_size, self._batch_pixels = batch_size, batch_pixels
        self._device = torch.device(device)
        self._source, self._view = source, view
        self._reader = BetonReader(source, deadline_s=deadline_s)

    @property
    def sample_ids(self) -> NDArray[np.int64]:
        """The images that `batches` yields on this rank."""
        return self._indices

    @property
    def num_images(self) -> int:
        """Their number."""
        return len(self._indices)

    @property
    def cuts(self) -> bool:
        """Whether images are cut, and not seen as the raw squares that they are."""
        return self._view is not None

    def batches(self, view: View | None = None) -> BatchIterator:
        """This rank's images: in the order of `indices`, or images of one size together.

        Args:
            view: what is seen of them; None takes the loader's own.
        """
        view = view or self._view
        groups = self._groups(view)
        batches = self._reader.read(groups, view)
        return EveryImage(batches, groups, self._source.bad, self._device)

    def check(self, view: WholeImage) -> None:
        """Refuse a view in which an image, long and narrow, has more pixels than memory holds.

        Raises:
            UsageError: one has; it is named.
        """
        index = self._source.index
        pixels = view.sizes(index.widths, index.heights).prod(axis=1)
        for place in self._indices[pixels[self._indices] > MAX_VIEW_PIXELS][:1]:
            raise UsageError(
                f"image {place:,} of {index.path}, {index.widths[place]}x{index.heights[place]}, "
                f"would have {pixels[place]:,} pixels with a shorter side of {view.resize}: more "
                f"than {MAX_VIEW_PIXELS:,}",
                mend="leave out the largest scales, or prepare the data without the image",
            )

    def _groups(self, view: View | None) -> list[NDArray[np.int64]]:
        """The images of each batch."""
        parts = [self._indices]
        index, indices = self._source.index, self._indices
        if isinstance(view, WholeImage) and len(indices):
            sizes = view.sizes(index.widths[indices], index.heights[indices])
            _, group = np.unique(sizes, axis=0, return_inverse=True)
            parts = [indices[group == number] for number in range(group.max() + 1)]
        return [batch for part in parts for batch in self._split(part, view)]

    def _split(self, indices: NDArray[np.int64], view: View | None) -> Iterator[NDArray[np.int64]]:
        """Batches of images that may be together."""
        index, num_images = self._source.index, self._batch_size
        if view is not None and len(indices):
            pixels = view.most_pixels(index.widths[indices], index.heights[indices])
            num_images = min(num_images, self._batch_pixels // (view.num_crops * pixels))
        num_images = max(1, num_images)
        for start in range(0, len(indices), num_images):
            yield indices[start : start + num_images]
