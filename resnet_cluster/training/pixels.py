"""What is done to a pixel between the loader and the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_cluster.data import Batch, ColorShift, Normalize, PadCropFlip, PixelStatistics
from resnet_cluster.spec import JobSpec


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """uint8 images to what the network sees."""

    normalize: Normalize
    normalize_any: Normalize
    """The same for images of any size: of a mean image its mean colour."""
    color: ColorShift | None = None
    augment: PadCropFlip | None = None
    """None where the loader's view has cropped and mirrored already."""

    def augmented(self, batch: Batch, epoch: int) -> Tensor:
        """A training batch: normalised first, so that its padding is the mean (section 4.2)."""
        images = self.normalize(batch.images)
        if self.color:
            images = self.color(images, batch.sample_ids, epoch)
        return self.augment(images, batch.sample_ids, epoch) if self.augment else images


def build_pixels(job: JobSpec, statistics: PixelStatistics, device: torch.device) -> Pixels:
    """What is subtracted, over the images that the run trains on, and the augmentation."""
    kind, augment = job.data.normalize, job.data.augment
    std = statistics.channel_std if kind == "channel_mean_std" else None
    color = None
    if augment.color == "pca":
        assert statistics.channel_covariance is not None, "the plan refuses such a data set"
        color = ColorShift(statistics.channel_covariance, std, job.seed, device)

    def subtracting(mean: NDArray[np.floating]) -> Normalize:
        return Normalize(mean, std, device=device, channels_last=job.train.channels_last)

    by_color = subtracting(statistics.channel_mean)
    by_pixel = subtracting(statistics.pixel_mean) if kind == "pixel_mean" else None
    pad = None if job.data.crop else PadCropFlip(augment.pad, augment.flip, job.seed)
    return Pixels(normalize=by_pixel or by_color, normalize_any=by_color, color=color, augment=pad)
