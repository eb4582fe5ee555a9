"""Batches for training and for evaluation: uint8 pixels on the device, in a planned order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.data.image_source import ImageSource
from resnet_cluster.data.order import (
    epoch_order,
    rank_batches,
    rank_micro_batches,
    steps_per_epoch,
)
from resnet_cluster.data.reader import Batches, BetonReader
from resnet_cluster.data.views import View, WholeImage
from resnet_cluster.errors import IntegrityError

BATCH_DEADLINE_S = 120.0


@dataclass(frozen=True)
class BadSample:
    """A damaged image.

    Attributes:
        place: in the beton.
        why: in words.
    """

    place: int
    why: str


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch that is the caller's to keep.

    Attributes:
        images: uint8 [b * num_crops, 3, height, width] on the device; channels last in memory.
        labels: int64 [b] on the device.
        sample_ids: int64 [b], each image's place in the beton: what augmentation is seeded by.
        bad: those that are damaged: their pixels are zero.
    """

    images: torch.Tensor
    labels: torch.Tensor
    sample_ids: NDArray[np.int64]
    bad: tuple[BadSample, ...] = ()


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
        self._reader = BetonReader(source, batch_size=bn_group, deadline_s=deadline_s)

    def batches(self, epoch: int, first_step: int = 0) -> BatchIterator:
        """The micro-batches of an epoch from `first_step` on, `len(micro_batches)` a step."""
        micro_batches = rank_batches(
            epoch_order(self._indices, seed=self._seed, epoch=epoch),
            global_batch_size=self._global_batch_size,
            bn_group=self._bn_group,
            world_rank=self._world_rank,
            world_size=self._world_size,
            first_step=first_step,
        )
        view = self._views(epoch) if self._views else None
        places = list(micro_batches)
        batches = self._reader.read(places, view)
        return BatchIterator(batches, places, self._source.bad, self._device)


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
        return _EveryImage(batches, groups, self._source.bad, self._device)

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


class BatchIterator:
    """The batches of one epoch; leaving the `with` block early ends the loading thread.

        with loader.batches(epoch) as batches:
            for batch in batches: ...

    A loader has one epoch under way at a time: beginning another one closes this one.

    Args:
        batches: images and labels.
        sample_ids: int64 [b] for each of them.
        bad: damaged images that have been met, by their place: it grows.
        device: where batches are put.

    Raises:
        IntegrityError: a batch could not be read, or was not there in time.
    """

    def __init__(
        self,
        batches: Batches,
        sample_ids: Sequence[NDArray[np.int64]],
        bad: Mapping[int, str],
        device: torch.device,
    ) -> None:
        self._batches, self._bad = batches, bad
        self._sample_ids = iter(sample_ids)
        self._num_batches = len(sample_ids)
        self._to_device = _HostToDevice(device)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        images, labels = self._to_device(*next(self._batches))
        sample_ids = next(self._sample_ids)
        assert len(labels) == len(sample_ids)
        bad: tuple[BadSample, ...] = ()
        if self._bad:
            places = [place for place in sample_ids.tolist() if place in self._bad]
            bad = tuple(BadSample(place, self._bad[place]) for place in places)
        return Batch(images.permute(0, 3, 1, 2), labels, sample_ids, bad)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the loading thread; there are no more batches."""
        self._batches.close()


class _EveryImage(BatchIterator):
    """Batches of an evaluation: no figure is taken of less than all images.

    Raises:
        IntegrityError: an image is damaged.
    """

    def __next__(self) -> Batch:
        batch = super().__next__()
        for bad in batch.bad:
            raise IntegrityError(
                f"image {bad.place:,} of the split that is measured is damaged ({bad.why})",
                mend="run `resnet-cluster data verify` on the data set",
            )
        return batch


class _HostToDevice:
    """Copies batches out of the loader's recycled buffers.

    On CUDA the buffers are pinned, so the copy runs on a stream of its own beside the kernels;
    only the buffer's reuse has to wait for it, not the computation.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._copies is None:
            # numpy's copy, as torch would wake its threads for a batch: up to ten times slower.
            return tuple(torch.from_numpy(tensor.numpy().copy()) for tensor in tensors)
        with torch.cuda.stream(self._copies):
            copies = tuple(tensor.to(self._device, non_blocking=True) for tensor in tensors)
        compute = torch.cuda.current_stream(self._device)
        compute.wait_stream(self._copies)
        for copy in copies:
            copy.record_stream(compute)
        self._copies.synchronize()
        return copies
