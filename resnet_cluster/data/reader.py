"""FFCV's loader, kept on the narrow path where it can be relied on.

ffcv 1.0.2 is frozen upstream, so it is guarded from outside, by subclasses. What they change:
a failure in the loading thread is raised where batches are consumed (upstream waits for ever);
every wait has a deadline; an epoch cut short leaves no thread; torch's thread count is left
alone; batches are what the caller says; and images come from `ImageSource`, so nothing is
compiled. Upstream compiles for several seconds for each loader, and for six to ten while it is
imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.data.image_source import ImageSource
from resnet_cluster.data.views import View
from resnet_cluster.errors import IntegrityError

JOIN_DEADLINE_S = 10.0
Batches = Generator[tuple[torch.Tensor, torch.Tensor], None, None]


_SETTING = threading.Lock()


@contextlib.contextmanager
def _interpreted() -> Iterator[None]:
    """numba's decorators return the plain function, and torch's threads stay as they are.

    One thread at a time: the setting is the process's.
    """
    config: Any = numba.config
    with _SETTING:
        disabled, num_threads = config.DISABLE_JIT, torch.get_num_threads()
        config.DISABLE_JIT = True
        try:
            yield
        finally:
            config.DISABLE_JIT = disabled
            torch.set_num_threads(num_threads)


with _interpreted():  # ffcv fills a compiled dictionary and sets torch's threads when imported
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder
    from ffcv.loader import Loader
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.pipeline.allocation_query import AllocationQuery
    from ffcv.transforms import ToTensor


class BetonReader:
    """Reads batches of a beton, one epoch at a time.

    Args:
        source: where the images come from.
        deadline_s: seconds that a batch may take.
    """

    def __init__(self, source: ImageSource, *, deadline_s: float) -> None:
        self.path = source.index.path
        self.deadline_s = deadline_s
        self._source = source
        with _interpreted():
            self._loader = Loader(
                str(self.path),
                batch_size=1,  # a buffer has room for a whole batch: see `_ImageDecoder`
                num_workers=1,
                pipelines={
                    "image": [_ImageDecoder(source), ToTensor()],
                    "label": [_LabelDecoder(), ToTensor()],
                },
                drop_last=False,
            )
        self._epoch: _Epoch | None = None

    def read(self, batches: Sequence[NDArray[np.int64]], view: View | None = None) -> Batches:
        """The images of each of `batches`, as `view` shows them.

        Args:
            batches: places in the beton, int64 [b] each.
            view: what is seen of an image; None takes raw squares as they are.

        Yields:
            uint8 [b * num_crops, height, width, 3] and int64 [b]: views of buffers that the next
            batch may overwrite.

        Raises:
            IntegrityError: a batch could not be read, or was not there in time.
        """
        self.close()
        self._source.begin(batches, view)
        self._epoch = epoch = _Epoch(self._loader, batches)
        try:
            for _ in batches:
                assert epoch is self._epoch, "another epoch of this reader was begun meanwhile"
                yield self._next_batch(epoch)
        finally:
            if epoch is self._epoch:
                self.close()

    def close(self) -> None:
        """End the epoch that is under way, and its threads with it."""
        if self._epoch is not None:
            self._epoch.close()
            self._epoch = None
            self._source.close()

    def _next_batch(self, epoch: _Epoch) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            batch = epoch.output_queue.get(timeout=self.deadline_s)
        except queue.Empty:
            raise IntegrityError(
                f"{self.path}: no batch within {self.deadline_s:g} s",
                mend="check that the disk holding it answers, then resume the run",
            ) from None
        if batch is None:
            raise IntegrityError(
                f"{self.path}: reading a batch failed: {epoch.error!r}",
                mend="run `resnet-cluster data verify` on the data set",
            ) from epoch.error
        _, (images, labels) = batch
        return images, labels


class _Epoch(EpochIterator):  # type: ignore[misc]
    """Upstream's loading thread, which here always ends, and hands over what went wrong."""

    error: BaseException | None = None

    def __init__(self, loader: Any, batches: Sequence[NDArray[np.int64]]) -> None:
        self.batches = batches  # before the thread is started, which upstream's constructor does
        super().__init__(loader, [])

    def run(self) -> None:
        try:
            for batch_id, batch_indices in enumerate(self.batches):
                # Two buffers more than the queue is long: one being filled, one being consumed.
                slot = batch_id % (self.loader.batches_ahead + 2)
                batch = self.run_pipeline(batch_id, batch_indices, slot, None)
                if not self._offer((slot, batch)):
                    return
        except BaseException as error:
            self.error = error
            self._offer(None)

    def _offer(self, item: object) -> bool:
        while not self.terminate_event.is_set():
            with contextlib.suppress(queue.Full):
                self.output_queue.put(item, timeout=0.5)
                return True
        return False

    def close(self) -> None:
        self.terminate_event.set()
        deadline = time.monotonic() + JOIN_DEADLINE_S
        while self.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):  # a full queue would hold the thread
                self.output_queue.get_nowait()
            self.join(timeout=0.01)
        super().close()


class _ImageDecoder(SimpleRGBImageDecoder):  # type: ignore[misc]
    """Lets an image source fill the batch's buffer.

    Upstream asks what room is needed whenever an epoch begins, so that another epoch may show
    images of another size. It asks for one image and multiplies by the largest batch; but the
    largest batch need not be that of the largest images, so what it takes for one is a batch here.
    """

    def __init__(self, source: ImageSource) -> None:
        super().__init__()
        self.source = source

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, AllocationQuery]:
        shape, dtype = (self.source.batch_bytes,), np.dtype(np.uint8)
        state = dataclasses.replace(previous_state, jit_mode=True, shape=shape, dtype=dtype)
        return state, AllocationQuery(shape, dtype)

    def generate_code(self) -> Callable[..., NDArray[np.uint8]]:
        def decode(
            batch_indices: NDArray[np.int64], destination: NDArray[np.uint8], *_: Any
        ) -> NDArray[np.uint8]:
            return self.source.fill(batch_indices, destination)

        return decode


class _LabelDecoder(IntDecoder):  # type: ignore[misc]
    """Upstream's decoder of integers, without its loop over samples."""

    def generate_code(self) -> Callable[..., NDArray[np.int64]]:
        def decode(
            batch_indices: NDArray[np.int64], _: Any, metadata: NDArray[np.int64], __: Any
        ) -> NDArray[np.int64]:
            return metadata[batch_indices]

        return decode
