"""A run's weights under a protocol, after the training has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_cluster.data import (
    Manifest,
    PixelStatistics,
    read_labels,
    split_holdout,
    training_statistics,
)
from resnet_cluster.evaluation import Score
from resnet_cluster.spec import JobSpec, Protocol
from resnet_cluster.training.local import LocalContext
from resnet_cluster.training.pixels import build_pixels
from resnet_cluster.training.run import initialised_net
from resnet_cluster.training.split import EvalSplit, build_eval_split


def measure(
    job: JobSpec,
    manifest: Manifest,
    weights: dict[str, Tensor],
    protocol: Protocol,
    *,
    device: torch.device,
    num_threads: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Errors on the test split, in this process.

    Args:
        job: the run's.
        manifest: the data set that it was trained on.
        weights: those that the run ended with.
        protocol: the views.
        device: where the network computes.
        num_threads: that decode images.
        on_progress: called with the views done, and all.

    Raises:
        IntegrityError: an image is damaged, or a file is not what was prepared.
    """
    indices = np.arange(manifest.test.num_images)
    split = open_test_split(
        job,
        manifest,
        indices,
        run_statistics(job, manifest),
        device=device,
        num_threads=num_threads,
    )
    done, total = 0, split.num_views(protocol)

    def count(views: int) -> None:
        nonlocal done
        done += views
        on_progress(done, total)

    net = trained_net(job, split.num_classes, weights, device)
    return replace(split, on_views=count).measure(net, protocol)


def trained_net(
    job: JobSpec, num_classes: int, weights: dict[str, Tensor], device: torch.device
) -> nn.Module:
    """A job's network with the weights of its run."""
    net = initialised_net(job, num_classes, device)
    net.load_state_dict(weights)
    return net


def open_test_split(
    job: JobSpec,
    manifest: Manifest,
    indices: NDArray[np.int64],
    statistics: PixelStatistics,
    *,
    device: torch.device,
    num_threads: int,
) -> EvalSplit:
    """Images of the test split, in this process, as the job measures them."""
    pixels = build_pixels(job, statistics, device)
    context = LocalContext(run_dir=Path(), device=device, loader_threads=num_threads)
    return build_eval_split(job, manifest, "test", indices, pixels, context)


def run_statistics(job: JobSpec, manifest: Manifest) -> PixelStatistics:
    """Those of the images that the job trains on."""
    train_ids, _ = split_holdout(read_labels(manifest.beton("train")), job.data.holdout, job.seed)
    return training_statistics(manifest, train_ids)
