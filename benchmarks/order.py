"""How random the order of a few pages at a time is, on ImageNet's layout.

    python benchmarks/order.py

The training images of ImageNet lie by class in the file: 1,281,167 of 110 KB, in pages of 8 MiB.
For windows of so many pages it prints, over whole epochs:

- memory: the window's pages and those of the next one.
- classes: distinct classes in a batch of 256, on average. Drawn at random they would be
  (1 - (1 - 1/1000)^256) * 1000 = 226.
- neighbours: of the pairs that follow each other in the file, how many share a batch of 256,
  per million. At random 255 / 1,281,166 would: 199 per million.
- again: of the pairs that share a batch in one epoch, how many do so in the next, per million:
  199 at random, too.

The last line shuffles all images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.page_order import page_order

NUM_IMAGES, NUM_CLASSES, BATCH = 1_281_167, 1000, 256
IMAGE_BYTES, PAGE_BYTES = 110_000, 8 << 20
WINDOWS = (64, 256, 1024, 4096, 10**6)


def main() -> None:
    """Print the table."""
    page_of = np.arange(NUM_IMAGES) // (PAGE_BYTES // IMAGE_BYTES)
    class_of = np.arange(NUM_IMAGES) * NUM_CLASSES // NUM_IMAGES
    print("  pages |    memory | classes | neighbours |  again")
    for window_pages in WINDOWS:
        epochs = [
            page_order(
                np.arange(NUM_IMAGES), page_of, window_pages=window_pages, seed=0, epoch=epoch
            ).places
            for epoch in (0, 1)
        ]
        batch = [batch_of(order) for order in epochs]
        memory = min(2 * window_pages * PAGE_BYTES, NUM_IMAGES * IMAGE_BYTES) / 2**30
        classes = classes_of_a_batch(epochs[0], class_of)
        neighbours = 1e6 * np.mean(batch[0][1:] == batch[0][:-1])
        print(
            f"{window_pages:>7,} | {memory:5.1f} GiB | {classes:7.1f} | {neighbours:10.0f} | "
            f"{again(epochs[0], batch[1]):6.0f}"
        )


def batch_of(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The batch in which each image comes."""
    batch = np.empty(len(order), np.int64)
    batch[order] = np.arange(len(order)) // BATCH
    return batch


def classes_of_a_batch(order: NDArray[np.int64], class_of: NDArray[np.int64]) -> float:
    """Distinct classes, on average over all whole batches."""
    whole = class_of[order[: len(order) // BATCH * BATCH]].reshape(-1, BATCH)
    return float(np.mean([len(np.unique(batch)) for batch in whole]))


def again(order: NDArray[np.int64], next_batch: NDArray[np.int64]) -> float:
    """Pairs of a batch that share one in the next epoch too, per million, by those side by side."""
    return float(1e6 * np.mean(next_batch[order[1:]] == next_batch[order[:-1]]))


if __name__ == "__main__":
    main()
