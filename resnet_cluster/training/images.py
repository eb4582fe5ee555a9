"""The images of a run on one rank: its splits, their loaders, and what is done to a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data import (
    ImageSource,
    Manifest,
    SplitName,
    TrainLoader,
    open_images,
    read_labels,
    split_holdout,
    steps_per_epoch,
    training_statistics,
)
from resnet_cluster.spec import JobSpec
from resnet_cluster.training.context import Context
from resnet_cluster.training.pixels import Pixels, build_pixels
from resnet_cluster.training.split import EvalSplit, build_eval_split
from resnet_cluster.training.views import training_views


@dataclass(frozen=True, kw_only=True)
class Images:
    """What one rank loads."""

    pixels: Pixels
    train: TrainLoader
    test: EvalSplit
    holdout: EvalSplit | None
    num_classes: int


def build_images(job: JobSpec, manifest: Manifest, context: Context) -> Images:
    """Split the training images as the job says and build this rank's loaders.

    Raises:
        UsageError: the hold-out, the batch or the number of workers do not fit the data set.
        IntegrityError: a beton is missing, truncated or not such a file.
    """
    labels = read_labels(manifest.beton("train"))
    train_ids, holdout_ids = split_holdout(labels, job.data.holdout, job.seed)
    pixels = build_pixels(job, training_statistics(manifest, train_ids), context.device)

    def build_split(split: SplitName, indices: NDArray[np.int64]) -> EvalSplit:
        return build_eval_split(job, manifest, split, indices, pixels, context)

    source = open_images(manifest, "train", num_threads=context.loader_threads)
    return Images(
        pixels=pixels,
        train=_train_loader(job, source, train_ids, context),
        test=build_split("test", np.arange(manifest.test.num_images)),
        holdout=build_split("train", holdout_ids) if len(holdout_ids) else None,
        num_classes=len(manifest.classes),
    )


def _train_loader(
    job: JobSpec, source: ImageSource, indices: NDArray[np.int64], context: Context
) -> TrainLoader:
    steps = steps_per_epoch(len(indices), job.train.global_batch_size)
    return TrainLoader(
        source,
        indices=indices,
        global_batch_size=job.train.global_batch_size,
        bn_group=job.train.bn_group,
        world_rank=context.world_rank,
        world_size=context.world_size,
        seed=job.seed,
        device=context.device,
        views=training_views(job, steps),
        shuffle_pages=job.data.shuffle_pages,
        local_rank=context.local_rank,
        local_world_size=context.local_world_size,
    )
