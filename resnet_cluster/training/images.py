"""The images of a run on one rank: its splits, their loaders, and what is done to a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_cluster.data import (
    Batch,
    EvalLoader,
    Manifest,
    Normalize,
    PadCropFlip,
    SplitName,
    TrainLoader,
    read_labels,
    split_holdout,
    training_mean,
)
from resnet_cluster.evaluation import Score, evaluate_single
from resnet_cluster.spec import JobSpec
from resnet_cluster.training.context import Context

EVAL_BATCH_SIZE = 500
"""Images of an evaluation batch; no figure depends on it."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """uint8 images to what the network sees."""

    normalize: Normalize
    augment: PadCropFlip

    def augmented(self, batch: Batch, epoch: int) -> Tensor:
        """A training batch: normalised first, so that its padding is the mean (section 4.2)."""
        return self.augment(self.normalize(batch.images), batch.sample_ids, epoch)


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
    normalize = _build_normalize(job, manifest, train_ids, context.device)

    def build_split(split: SplitName, indices: NDArray[np.int64]) -> EvalSplit:
        loader = EvalLoader(
            manifest.beton(split),
            indices=indices,
            batch_size=EVAL_BATCH_SIZE,
            world_rank=context.world_rank,
            world_size=context.world_size,
            device=context.device,
        )
        return EvalSplit(
            loader=loader,
            normalize=normalize,
            num_images=len(indices),
            num_classes=len(manifest.classes),
            device=context.device,
        )

    augment = job.data.augment
    return Images(
        pixels=Pixels(
            normalize=normalize, augment=PadCropFlip(augment.pad, augment.flip, job.seed)
        ),
        train=TrainLoader(
            manifest.beton("train"),
            indices=train_ids,
            global_batch_size=job.train.global_batch_size,
            bn_group=job.train.bn_group,
            world_rank=context.world_rank,
            world_size=context.world_size,
            seed=job.seed,
            device=context.device,
        ),
        test=build_split("test", np.arange(manifest.test.num_images)),
        holdout=build_split("train", holdout_ids) if len(holdout_ids) else None,
        num_classes=len(manifest.classes),
    )


def _build_normalize(
    job: JobSpec, manifest: Manifest, train_ids: NDArray[np.int64], device: torch.device
) -> Normalize:
    """What is subtracted, over the images that the run trains on."""
    statistics = training_mean(manifest.beton("train"), train_ids)
    kind = job.data.normalize
    return Normalize(
        statistics.pixel_mean if kind == "pixel_mean" else statistics.channel_mean,
        statistics.channel_std if kind == "channel_mean_std" else None,
        device=device,
        channels_last=job.train.channels_last,
    )
