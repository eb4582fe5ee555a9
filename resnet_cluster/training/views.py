"""What a job lets its network see of an image: in training, epoch by epoch, and when measured."""

from __future__ import annotations

from collections.abc import Callable

from resnet_cluster.data import CentreCrop, RandomResizedCrop, ShorterSideJitter, View
from resnet_cluster.spec import (
    DataSpec,
    JobSpec,
    RandomResizedSpec,
    ShorterSideJitterSpec,
    crop_side,
)


def training_views(job: JobSpec, steps_per_epoch: int) -> Callable[[int], View] | None:
    """The view of the training images in each epoch, counted from 0; None without crops.

    Args:
        job: the job.
        steps_per_epoch: optimiser steps of one epoch.
    """
    crop = job.data.crop
    if crop is None:
        return None
    if isinstance(crop, ShorterSideJitterSpec):
        return lambda epoch: _jittered(job, crop, epoch)
    return lambda epoch: _random_resized(
        job, crop, epoch, side=crop_side(crop, job.train, epoch, steps_per_epoch)
    )


def evaluation_view(data: DataSpec) -> CentreCrop | None:
    """The view of an image that is measured; None for one that is seen as it is."""
    if data.view is None:
        return None
    return CentreCrop(side=data.view.size, resize=data.view.resize)


def _jittered(job: JobSpec, crop: ShorterSideJitterSpec, epoch: int) -> View:
    shortest, longest = crop.shorter_side
    return ShorterSideJitter(
        side=crop.size,
        shortest=shortest,
        longest=longest,
        flip=job.data.augment.flip,
        seed=job.seed,
        epoch=epoch,
    )


def _random_resized(job: JobSpec, crop: RandomResizedSpec, epoch: int, *, side: int) -> View:
    (least, most), (narrow, wide) = crop.scale, crop.ratio
    return RandomResizedCrop(
        side=side,
        scale=(least, most),
        ratio=(narrow, wide),
        flip=job.data.augment.flip,
        seed=job.seed,
        epoch=epoch,
    )
