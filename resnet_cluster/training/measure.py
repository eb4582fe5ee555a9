"""A run's weights under a protocol, after the training has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_cluster.data import (
    Manifest,
    PixelStatistics,
    read_labels,
    split_holdout,
    training_statistics,
)
from resnet_cluster.spec import JobSpec, Protocol
from resnet_cluster.training.context import Context, FinalResult
from resnet_cluster.training.pixels import build_pixels
from resnet_cluster.training.predictions import measure_and_keep, shelf_of
from resnet_cluster.training.run import final_result, initialised_net
from resnet_cluster.training.split import EvalSplit, build_eval_split


@dataclass(frozen=True, kw_only=True)
class Remeasured:
    """A figure, and why its predictions were not kept; empty where they were."""

    result: FinalResult
    not_kept: str


def measure(
    job: JobSpec,
    manifest: Manifest,
    weights: dict[str, Tensor],
    protocol: Protocol,
    context: Context,
    *,
    step: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Remeasured:
    """Errors on the test split; every rank calls it and gets the same.

    Args:
        job: the run's.
        manifest: the data set that it was trained on.
        weights: those that the run ended with.
        protocol: the views.
        context: the world of this rank.
        step: of the weights.
        on_progress: called with the views that this rank has done, and all of its views.

    Raises:
        IntegrityError: an image is damaged, or a file is not what was prepared.
    """
    indices = np.arange(manifest.test.num_images)
    split = open_test_split(job, manifest, indices, run_statistics(job, manifest), context)
    done, total = 0, split.num_views(protocol)

    def count(views: int) -> None:
        nonlocal done
        done += views
        on_progress(done, total)

    net = trained_net(job, split, weights)
    measured = measure_and_keep(
        replace(split, on_views=count),
        net,
        protocol,
        split.contents(protocol, job.evaluate.select, step),
        shelf_of(job, context),
    )
    result = final_result(job, protocol, step, measured.score)
    return Remeasured(result=result, not_kept=measured.not_kept)


def trained_net(job: JobSpec, split: EvalSplit, weights: dict[str, Tensor]) -> nn.Module:
    """A job's network with the weights of its run, where the split is measured."""
    net = initialised_net(job, split.num_classes, split.device)
    net.load_state_dict(weights)
    return net


def open_test_split(
    job: JobSpec,
    manifest: Manifest,
    indices: NDArray[np.int64],
    statistics: PixelStatistics,
    context: Context,
) -> EvalSplit:
    """Images of the test split, as the job measures them."""
    pixels = build_pixels(job, statistics, context.device)
    return build_eval_split(job, manifest, "test", indices, pixels, context)


def run_statistics(job: JobSpec, manifest: Manifest) -> PixelStatistics:
    """Those of the images that the job trains on."""
    train_ids, _ = split_holdout(read_labels(manifest.beton("train")), job.data.holdout, job.seed)
    return training_statistics(manifest, train_ids)
