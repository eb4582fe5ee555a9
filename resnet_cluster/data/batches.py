"""Batches of an epoch: the caller's to keep, on the device, with what is damaged among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.data.page_reader import ReadAhead
from resnet_cluster.data.reader import Batches
from resnet_cluster.errors import IntegrityError


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
        ahead: is told of each batch; closed with the rest.

    Raises:
        IntegrityError: a batch could not be read, or was not there in time.
    """

    def __init__(
        self,
        batches: Batches,
        sample_ids: Sequence[NDArray[np.int64]],
        bad: Mapping[int, str],
        device: torch.device,
        ahead: ReadAhead | None = None,
    ) -> None:
        self._batches, self._bad, self._ahead = batches, bad, ahead
        self._sample_ids = iter(sample_ids)
        self._num_batches = len(sample_ids)
        self._to_device = _HostToDevice(device)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        try:
            images, labels = self._to_device(*next(self._batches))
        except BaseException:  # the end of the epoch too
            self.close()
            raise
        if self._ahead:
            self._ahead.after_batch()
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
        """End the loading threads; there are no more batches."""
        self._batches.close()
        if self._ahead:
            self._ahead.reader.close()


class EveryImage(BatchIterator):
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
