"""A run's weights under a protocol, after the training has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnet_cluster.data import Manifest, read_labels, split_holdout, training_statistics
from resnet_cluster.evaluation import Score
from resnet_cluster.spec import JobSpec, Protocol
from resnet_cluster.training.local import LocalContext
from resnet_cluster.training.pixels import build_pixels
from resnet_cluster.training.run import initialised_net
from resnet_cluster.training.split import build_eval_split


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
    net = initialised_net(job, len(manifest.classes), device)
    net.load_state_dict(weights)
    train_ids, _ = split_holdout(read_labels(manifest.beton("train")), job.data.holdout, job.seed)
    pixels = build_pixels(job, training_statistics(manifest, train_ids), device)
    context = LocalContext(run_dir=Path(), device=device, loader_threads=num_threads)
    indices = np.arange(manifest.test.num_images)
    split = build_eval_split(job, manifest, "test", indices, pixels, context)
    done, total = 0, split.num_views(protocol)

    def count(views: int) -> None:
        nonlocal done
        done += views
        on_progress(done, total)

    return replace(split, on_views=count).measure(net, protocol)
