"""Normalisation and augmentation in torch, on the batch's own device (section 4.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_cluster.data.randomness import sample_bits, split_mix, uniform

_UINT64 = np.uint64
_COLOR_STREAM = 2  # `random_views.CROP_STREAM` is 1


class Normalize:
    """uint8 pixels to float32: the mean subtracted, and divided by the deviation if there is one.

    Args:
        mean: in grey levels (0 to 255), per pixel [side, side, 3] or per channel [3].
        std: per channel [3], or None: the paper subtracts the per-pixel mean and does not divide.
        device: where batches are.
        channels_last: the memory format of the result.
    """

    def __init__(
        self,
        mean: NDArray[np.floating],
        std: NDArray[np.floating] | None = None,
        *,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
    ) -> None:
        self._mean = _as_chw(mean).to(device)
        self._std = None if std is None else _as_chw(std).to(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, side, side] to float32 of the same shape."""
        pixels = images.to(torch.float32, memory_format=self._format).sub_(self._mean)
        return pixels if self._std is None else pixels.div_(self._std)


class PadCropFlip:
    """Zeros around each image, a random crop of its original size, a random mirror image.

    Apply it after normalisation, so that the padding is the mean. A sample's offsets and its
    flip are a pure function of (seed, epoch, sample id).

    Args:
        pad: pixels of zeros on each side; the paper pads 4.
        flip: whether an image is mirrored with probability one half.
        seed: of the run.
    """

    def __init__(self, pad: int, flip: bool, seed: int) -> None:
        assert pad >= 0
        self._pad, self._flip, self._seed = pad, flip, seed

    def __call__(
        self, images: torch.Tensor, sample_ids: NDArray[np.int64], epoch: int
    ) -> torch.Tensor:
        """Float [n, c, h, w], crop and flip of each sample; the memory format is kept."""
        return self.apply(images, self.drawn(sample_ids, epoch, images.device))

    def drawn(
        self, sample_ids: NDArray[np.int64], epoch: int, device: torch.device
    ) -> torch.Tensor:
        """What `apply` needs beside the images, on their device: int64 [3, n]."""
        return _on(device, np.stack(self.draw(sample_ids, epoch)))

    def apply(self, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """The same of what was drawn before; nothing of it depends on the host."""
        num_images, channels, height, width = images.shape
        top, left, mirrored = drawn[:, :, None]
        padded = torch.nn.functional.pad(images, (self._pad,) * 4).permute(0, 2, 3, 1)
        sample = torch.arange(num_images, device=images.device)[:, None]
        row = top + torch.arange(height, device=images.device)
        column = torch.arange(width, device=images.device)
        column = left + torch.where(mirrored > 0, column.flip(0), column)
        line = sample * padded.shape[1] + row
        pixel = line[:, :, None] * padded.shape[2] + column[:, None, :]
        cropped = padded.reshape(-1, channels).index_select(0, pixel.view(-1))
        return (
            cropped.view(num_images, height, width, channels)
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=_memory_format(images))
        )

    def draw(
        self, sample_ids: NDArray[np.int64], epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Top and left of each crop in the padded image (0 to 2 * pad), and whether it flips."""
        bits = sample_bits(self._seed, epoch, sample_ids)
        num_offsets = _UINT64(2 * self._pad + 1)
        top = _below(num_offsets, bits >> _UINT64(32))
        left = _below(num_offsets, bits & _UINT64(0xFFFFFFFF))
        mirrored = split_mix(bits) >> _UINT64(63) == 1
        return top, left, mirrored & self._flip


class ColorShift:
    """Shifts each image's colour along the principal components of the training set's colours.

    The standard augmentation of the paper (section 3.4, after Krizhevsky et al. 2012): along each
    component by N(0, 0.1) of the colours' deviation along it. Theirs is written with eigenvalues
    where the deviation is meant: a tenth of an eigenvalue would be hundreds of grey levels. What
    comes out is not clipped, and is a pure function of (seed, epoch, sample id).

    Args:
        covariance: float64 [3, 3], of the training set's colours, in squares of grey levels.
        std: float64 [3], what pixels have been divided by; None where they have not.
        seed: of the run.
    """

    scale = 0.1

    def __init__(
        self,
        covariance: NDArray[np.float64],
        std: NDArray[np.floating] | None,
        seed: int,
    ) -> None:
        variances, axes = np.linalg.eigh(covariance)
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.sign(axes[largest, range(3)])  # an axis has two directions: choose one
        components = axes * np.sqrt(np.maximum(variances, 0.0))
        self.components = components if std is None else components / std[:, None]
        self._seed = seed

    def __call__(
        self, images: torch.Tensor, sample_ids: NDArray[np.int64], epoch: int
    ) -> torch.Tensor:
        """Float [n, 3, h, w], changed in place, in the unit that `std` makes of grey levels."""
        return self.apply(images, self.drawn(sample_ids, epoch, images.device))

    def drawn(
        self, sample_ids: NDArray[np.int64], epoch: int, device: torch.device
    ) -> torch.Tensor:
        """What `apply` needs beside the images, on their device: float64 [n, 3]."""
        return _on(device, self.draw(sample_ids, epoch))

    def apply(self, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """The same of what was drawn before; nothing of it depends on the host."""
        return images.add_(drawn.to(images.dtype)[:, :, None, None])

    def draw(self, sample_ids: NDArray[np.int64], epoch: int) -> NDArray[np.float64]:
        """What is added to the colours of each image: float64 [n, 3]."""
        drawn = uniform(self._seed, epoch, sample_ids, _COLOR_STREAM, 6)
        # Box and Muller (1958); 1 - u lies in (0, 1], where the logarithm is finite.
        normal = np.sqrt(-2.0 * np.log1p(-drawn[:, :3])) * np.cos(2.0 * np.pi * drawn[:, 3:])
        shift: NDArray[np.float64] = self.scale * normal @ self.components.T
        return shift


def _on(device: torch.device, drawn: NDArray[np.generic]) -> torch.Tensor:
    """Numbers on a device, which nobody waits for: it may still be at the last step."""
    tensor = torch.from_numpy(drawn)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _below(bound: np.uint64, bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """32 random bits as a number in [0, bound), by multiplication: no division, no rejection."""
    return ((bits * bound) >> _UINT64(32)).astype(np.int64)


def _as_chw(values: NDArray[np.floating]) -> torch.Tensor:
    height_width_channels = np.array(values, np.float32, ndmin=3)
    assert height_width_channels.shape[2] == 3
    return torch.from_numpy(height_width_channels).permute(2, 0, 1).contiguous()


def _memory_format(images: torch.Tensor) -> torch.memory_format:
    if images.is_contiguous():
        return torch.contiguous_format
    return torch.channels_last
