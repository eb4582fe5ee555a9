"""The images of a run on one rank: its splits, their loaders, and what is done to a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_cluster.data import (
    Batch,
    ColorShift,
    EvalLoader,
    ImageSource,
    Manifest,
    Normalize,
    PadCropFlip,
    PixelStatistics,
    SplitName,
    TrainLoader,
    open_images,
    read_labels,
    split_holdout,
    steps_per_epoch,
    training_statistics,
)
from resnet_cluster.evaluation import Score, evaluate_single
from resnet_cluster.spec import DataSpec, JobSpec
from resnet_cluster.training.context import Context
from resnet_cluster.training.views import evaluation_view, training_views

EVAL_BATCH_SIZE = 500
EVAL_BATCH_PIXELS = 6_400_000
"""Images and pixels of an evaluation batch, at most; no figure depends on them."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """uint8 images to what the network sees."""

    normalize: Normalize
    color: ColorShift | None = None
    augment: PadCropFlip | None = None
    """None where the loader's view has cropped and mirrored already."""

    def augmented(self, batch: Batch, epoch: int) -> Tensor:
        """A training batch: normalised first, so that its padding is the mean (section 4.2)."""
        images = self.normalize(batch.images)
        if self.color:
            images = self.color(images, batch.sample_ids, epoch)
        return self.augment(images, batch.sample_ids, epoch) if self.augment else images


@dataclass(frozen=True, kw_only=True)
class EvalSplit:
    """A split that networks are measured on, without augmentation."""

    loader: EvalLoader
    normalize: Normalize
    num_images: int
    """Images of the whole split, over all ranks."""
    num_classes: int
    device: torch.device

    def measure(self, net: nn.Module) -> Score:
        """Errors of a network over the split; every rank calls it and gets the same."""
        with self.loader.batches() as batches:
            return evaluate_single(
                net,
                batches,
                self.normalize,
                num_images=self.num_images,
                num_classes=self.num_classes,
                device=self.device,
            )


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
        return EvalSplit(
            loader=build_eval_loader(job.data, open_images_of(split), indices, context),
            normalize=pixels.normalize,
            num_images=len(indices),
            num_classes=len(manifest.classes),
            device=context.device,
        )

    def open_images_of(split: SplitName) -> ImageSource:
        return open_images(manifest, split, num_threads=context.loader_threads)

    return Images(
        pixels=pixels,
        train=_train_loader(job, open_images_of("train"), train_ids, context),
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


def build_eval_loader(
    data: DataSpec, source: ImageSource, indices: NDArray[np.int64], context: Context
) -> EvalLoader:
    """The images of a split as a job measures them, this rank's share."""
    view = evaluation_view(data)
    side = view.side if view else source.index.side
    assert side is not None, "the plan refuses images of many sizes without a view"
    return EvalLoader(
        source,
        indices=indices,
        batch_size=max(1, min(EVAL_BATCH_SIZE, EVAL_BATCH_PIXELS // side**2)),
        world_rank=context.world_rank,
        world_size=context.world_size,
        device=context.device,
        view=view,
    )


def build_pixels(job: JobSpec, statistics: PixelStatistics, device: torch.device) -> Pixels:
    """What is subtracted, over the images that the run trains on, and the augmentation."""
    kind, augment = job.data.normalize, job.data.augment
    std = statistics.channel_std if kind == "channel_mean_std" else None
    color = None
    if augment.color == "pca":
        assert statistics.channel_covariance is not None, "the plan refuses such a data set"
        color = ColorShift(statistics.channel_covariance, std, job.seed, device)
    normalize = Normalize(
        statistics.pixel_mean if kind == "pixel_mean" else statistics.channel_mean,
        std,
        device=device,
        channels_last=job.train.channels_last,
    )
    pad = None if job.data.crop else PadCropFlip(augment.pad, augment.flip, job.seed)
    return Pixels(normalize=normalize, color=color, augment=pad)
