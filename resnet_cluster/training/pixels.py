"""What is done to a pixel between the loader and the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_cluster.data import ColorShift, Normalize, PadCropFlip, PixelStatistics
from resnet_cluster.spec import TORCHVISION_MEAN, TORCHVISION_STD, JobSpec
from resnet_cluster.spec import Normalize as NormalizeKind


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalization:
    """What is subtracted from pixels, and by what they are divided, in grey levels (0 to 255).

    Attributes:
        channel_mean: float64 [3].
        channel_std: float64 [3]; None where nothing is divided.
        pixel_mean: float32 [side, side, 3], which is subtracted instead of the channels' mean.
    """

    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64] | None = None
    pixel_mean: NDArray[np.float32] | None = None


def normalization(kind: NormalizeKind, statistics: PixelStatistics | None) -> Normalization:
    """What `data.normalize` says.

    Args:
        kind: its value.
        statistics: of the images that are trained on; `torchvision` needs none.
    """
    if kind == "torchvision":
        mean, std = (255.0 * np.array(each) for each in (TORCHVISION_MEAN, TORCHVISION_STD))
        return Normalization(channel_mean=mean, channel_std=std)
    assert statistics is not None
    return Normalization(
        channel_mean=statistics.channel_mean,
        channel_std=statistics.channel_std if kind == "channel_mean_std" else None,
        pixel_mean=statistics.pixel_mean if kind == "pixel_mean" else None,
    )


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """uint8 images to what the network sees."""

    normalize: Normalize
    normalize_any: Normalize
    """The same for images of any size: of a mean image its mean colour."""
    color: ColorShift | None = None
    augment: PadCropFlip | None = None
    """None where the loader's view has cropped and mirrored already."""

    def drawn(
        self, sample_ids: NDArray[np.int64], epoch: int, device: torch.device
    ) -> tuple[Tensor, ...]:
        """What the augmentation of a training batch depends on beside its images, on a device."""
        return tuple(step.drawn(sample_ids, epoch, device) for step in self._steps)

    def augmented(self, images: Tensor, drawn: Sequence[Tensor]) -> Tensor:
        """A training batch: normalised first, so that its padding is the mean (section 4.2).

        Args:
            images: uint8 [n, 3, side, side].
            drawn: for these images.
        """
        pixels = self.normalize(images)
        for step, own in zip(self._steps, drawn, strict=True):
            pixels = step.apply(pixels, own)
        return pixels

    @property
    def _steps(self) -> tuple[ColorShift | PadCropFlip, ...]:
        return tuple(step for step in (self.color, self.augment) if step)


def build_pixels(job: JobSpec, statistics: PixelStatistics, device: torch.device) -> Pixels:
    """What is subtracted, over the images that the run trains on, and the augmentation."""
    augment = job.data.augment
    chosen = normalization(job.data.normalize, statistics)
    std = chosen.channel_std
    color = None
    if augment.color == "pca":
        assert statistics.channel_covariance is not None, "the plan refuses such a data set"
        color = ColorShift(statistics.channel_covariance, std, job.seed)

    def subtracting(mean: NDArray[np.floating]) -> Normalize:
        return Normalize(mean, std, device=device, channels_last=job.train.channels_last)

    by_color = subtracting(chosen.channel_mean)
    by_pixel = None if chosen.pixel_mean is None else subtracting(chosen.pixel_mean)
    pad = None if job.data.crop else PadCropFlip(augment.pad, augment.flip, job.seed)
    return Pixels(normalize=by_pixel or by_color, normalize_any=by_color, color=color, augment=pad)
