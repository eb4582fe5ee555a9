"""The images of a split, read in order and encoded on all cores, a chunk at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from resnet_cluster.data.encoding import Content, Encoded
from resnet_cluster.data.request import OnBad
from resnet_cluster.data.sources import Example, Source
from resnet_cluster.data.statistics import PixelSums
from resnet_cluster.errors import IntegrityError

SMALL_BYTES = 16 << 10
"""Below it, threads that decode cost more in handing over than they gain."""
SMALL_CHUNK, LARGE_CHUNK = 32, 8
"""Images of a chunk; those under way have to fit into memory."""
MAX_THREADS = 64

Encode = Callable[[Content, str, int], Encoded]
"""An image's content, its name and its place in its split, to the form in which it is kept."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a split.

    Attributes:
        encoded: each image with its example.
        bad: the message for each image that cannot be kept, by name.
        sums: of the pixels that the mean is taken of.
        last_name: of its images.
    """

    encoded: list[tuple[Example, Encoded]]
    bad: dict[str, str]
    sums: PixelSums
    last_name: str


@dataclass(frozen=True, kw_only=True)
class ChunkEncoder:
    """Reads and encodes.

    Attributes:
        source: read by this thread alone.
        encode: called in several threads.
        mean_side: side of the crops that the mean is taken of.
        on_bad: what an image that cannot be kept does: `fail` raises.
    """

    source: Source
    encode: Encode
    mean_side: int
    on_bad: OnBad

    def chunks(self, examples: Sequence[Example]) -> Iterator[Chunk]:
        """All images, in order.

        Raises:
            IntegrityError: an image cannot be kept, and that is to fail.
            UsageError: an image does not fit the others.
        """
        is_small = self._is_small(examples[0])
        size = SMALL_CHUNK if is_small else LARGE_CHUNK
        jobs = ((start, examples[start : start + size]) for start in range(0, len(examples), size))
        if is_small:
            for start, chunk in jobs:
                yield self._encode_chunk(start, chunk, self._read(chunk))
            return
        num_threads = count_threads()
        pending: deque[Future[Chunk]] = deque()
        with ThreadPoolExecutor(num_threads) as pool:
            try:
                for start, chunk in jobs:
                    content = self._read(chunk)
                    pending.append(pool.submit(self._encode_chunk, start, chunk, content))
                    if len(pending) > 2 * num_threads:
                        yield pending.popleft().result()
                for future in pending:
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _is_small(self, example: Example) -> bool:
        content = self._read([example])[0]
        return isinstance(content, np.ndarray) or (
            isinstance(content, bytes) and len(content) < SMALL_BYTES
        )

    def _read(self, chunk: Sequence[Example]) -> list[Content | IntegrityError]:
        """Each image's content, or why it cannot be read."""
        contents: list[Content | IntegrityError] = []
        for example in chunk:
            try:
                contents.append(self.source.read(example))
            except IntegrityError as error:
                contents.append(error)
        return contents

    def _encode_chunk(
        self, start: int, chunk: Sequence[Example], contents: list[Content | IntegrityError]
    ) -> Chunk:
        done = Chunk([], {}, PixelSums(self.mean_side), chunk[-1].name)
        for place, (example, content) in enumerate(zip(chunk, contents, strict=True), start):
            try:
                if isinstance(content, IntegrityError):
                    raise content
                done.encoded.append((example, self.encode(content, example.name, place)))
            except IntegrityError as error:
                if self.on_bad == "fail":
                    raise
                done.bad[example.name] = error.message
        if done.encoded:
            done.sums.add(np.stack([encoded.mean_crop for _, encoded in done.encoded]))
        return done


def count_threads() -> int:
    """Threads that encode."""
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)
