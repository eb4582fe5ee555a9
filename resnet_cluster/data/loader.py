"""Batches for training and for evaluation: uint8 pixels on the device, in a planned order."""

from __future__ import annotations

from collections.abc import Callable

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

BATCH_DEADLINE_S = 120.0


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
        self._reader = BetonReader(source, batch_size=bn_group, deadline_s=deadline_s)

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
        device: where batches are put.
        view: what is seen of an image; None takes raw squares as they are.
        deadline_s: seconds that a batch may take.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        indices: NDArray[np.int64],
        batch_size: int,
        world_rank: int,
        world_size: int,
        device: torch.device | str,
        view: View | None = None,
        deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        assert 0 <= world_rank < world_size
        self._indices = indices[world_rank::world_size]
        self._batch_size, self._device = batch_size, torch.device(device)
        self._source, self._view = source, view
        self._reader = BetonReader(source, batch_size=batch_size, deadline_s=deadline_s)

    @property
    def num_images(self) -> int:
        """Images that `batches` yields on this rank."""
        return len(self._indices)

    def batches(self) -> BatchIterator:
        """This rank's images: in the order of `indices`, or images of one size together."""
        groups = self._groups()
        batches = self._reader.read(groups, self._view)
        return EveryImage(batches, groups, self._source.bad, self._device)

    def _groups(self) -> list[NDArray[np.int64]]:
        """The images of each batch."""
        parts = [self._indices]
        if isinstance(self._view, WholeImage) and len(self._indices):
            index = self._source.index
            widths, heights = index.widths[self._indices], index.heights[self._indices]
            sizes = self._view.sizes(widths, heights)
            _, group = np.unique(sizes, axis=0, return_inverse=True)
            parts = [self._indices[group == number] for number in range(group.max() + 1)]
        return [
            part[start : start + self._batch_size]
            for part in parts
            for start in range(0, len(part), self._batch_size)
        ]
