"""A network on a test split, through our path and through PIL and torchvision's transforms."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from resnet_cluster.data import (
    EvalLoader,
    Manifest,
    PixelStatistics,
)
from resnet_cluster.data.beton import JPEG_MODE, BetonIndex, read_index
from resnet_cluster.evaluation import Pair, Parity, compare_paths
from resnet_cluster.spec import TORCHVISION_MEAN, TORCHVISION_STD, DataSpec, JobSpec
from resnet_cluster.training.context import Context
from resnet_cluster.training.measure import open_test_split, run_statistics, trained_net


def measure_parity(
    job: JobSpec,
    manifest: Manifest,
    weights: dict[str, Tensor],
    context: Context,
    *,
    limit: int | None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Parity:
    """Compare the paths over the images of a test split.

    Args:
        job: the run's.
        manifest: the data set.
        weights: the run's.
        context: the world of this process.
        limit: images at most, evenly over the split; None takes all.
        on_progress: called with the images done, and all.

    Raises:
        IntegrityError: an image is damaged, or a file is not what was prepared.
    """
    indices = evenly(manifest.test.num_images, limit)
    statistics = run_statistics(job, manifest)
    split = open_test_split(job, manifest, indices, statistics, context)
    device = context.device

    def pairs() -> Iterator[Pair]:
        done = 0
        for pair in _pairs(split.loader, manifest, job.data, device):
            yield pair
            done += len(pair[2])
            on_progress(done, len(indices))

    return compare_paths(
        trained_net(job, split, weights),
        pairs(),
        split.pixels.normalize,
        _torchvision_normalize(job.data, statistics, device),
    )


def evenly(num_images: int, limit: int | None) -> NDArray[np.int64]:
    """Places of `limit` images at most, evenly over so many."""
    number = num_images if limit is None else min(limit, num_images)
    return np.linspace(0, num_images - 1, number).round().astype(np.int64)


def _pairs(
    loader: EvalLoader, manifest: Manifest, data: DataSpec, device: torch.device
) -> Iterator[Pair]:
    index = read_index(manifest.beton("test"))
    file = os.open(index.path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor() as pool, loader.batches() as batches:
            for batch in batches:
                images = pool.map(
                    lambda place: _by_torchvision(file, index, place, data),
                    batch.sample_ids.tolist(),
                )
                yield batch.images, torch.stack(list(images)).to(device), batch.labels
    finally:
        os.close(file)


def _by_torchvision(file: int, index: BetonIndex, place: int, data: DataSpec) -> Tensor:
    """An image as torchvision's data sets and transforms bring it: uint8 [3, h, w]."""
    content = os.pread(file, int(index.lengths[place]), int(index.pointers[place]))
    if index.modes[place] == JPEG_MODE:
        image = Image.open(io.BytesIO(content)).convert("RGB")
    else:
        size = int(index.widths[place]), int(index.heights[place])
        image = Image.frombytes("RGB", size, content)
    if data.view is not None:
        image = functional.resize(image, [data.view.resize])
        image = functional.center_crop(image, [data.view.size])
    pixels: Tensor = functional.pil_to_tensor(image)
    return pixels


def _torchvision_normalize(
    data: DataSpec, statistics: PixelStatistics, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """What torchvision's Normalize makes of ToTensor's output, in the units of grey levels."""
    mean = torch.from_numpy(statistics.pixel_mean).permute(2, 0, 1).to(device)
    by_channel = (statistics.channel_mean / 255).tolist(), _std(data, statistics)
    if data.normalize == "torchvision":
        by_channel = list(TORCHVISION_MEAN), list(TORCHVISION_STD)

    def normalize(images: Tensor) -> Tensor:
        if data.normalize == "pixel_mean":
            return images.float() - mean
        scaled = functional.convert_image_dtype(images, torch.float32)
        normalized: Tensor = functional.normalize(scaled, *by_channel)
        return normalized

    return normalize


def _std(data: DataSpec, statistics: PixelStatistics) -> list[float]:
    std = statistics.channel_std if data.normalize == "channel_mean_std" else np.ones(3)
    return [float(each) / 255 for each in std]
