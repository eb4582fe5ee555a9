"""How images are prepared for a network, for those who run it without this tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_cluster.spec import DataSpec

SEED = 0
"""Of the random images that an exported network is checked on."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Preparation:
    """What is done to an image before the network sees it.

    Attributes:
        data: what the job says of views and normalisation.
        image_size: height and width that the network was measured at, in pixels.
        channel_mean: float64 [3], in grey levels (0 to 255).
        channel_std: float64 [3]; None where nothing is divided.
        pixel_mean: float32 [side, side, 3], which is subtracted instead of the channels' mean.
    """

    data: DataSpec
    image_size: int
    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64] | None
    pixel_mean: NDArray[np.float32] | None

    @property
    def mean_image(self) -> NDArray[np.float32] | None:
        """The mean image as a network's input has it, float32 [3, side, side]."""
        if self.pixel_mean is None:
            return None
        return np.ascontiguousarray(self.pixel_mean.transpose(2, 0, 1))

    def as_json(self, mean_file: str) -> dict[str, Any]:
        """The same as plain values.

        Args:
            mean_file: name of the file that has the mean image; empty where there is none.
        """
        return {
            "kind": self.data.normalize,
            "resize": self.data.view.resize if self.data.view else None,
            "size": self.image_size,
            "unit": "grey levels, 0 to 255",
            "mean": self.channel_mean.tolist(),
            "std": None if self.channel_std is None else self.channel_std.tolist(),
            "mean_image": mean_file or None,
        }

    def in_words(self, mean_file: str) -> str:
        """The same in a sentence.

        Args:
            mean_file: name of the file that has the mean image; empty where there is none.
        """
        view, size = self.data.view, f"{self.image_size}x{self.image_size}"
        cut = f"the shorter side resized to {view.resize}, its centre of {size}" if view else size
        if mean_file:
            return f"RGB, {cut}, in grey levels of 0 to 255, less the mean image in {mean_file}"
        if self.channel_std is None:
            return f"RGB, {cut}, in grey levels of 0 to 255, less {_triple(self.channel_mean)}"
        mean, std = (_triple(levels / 255) for levels in (self.channel_mean, self.channel_std))
        return f"RGB, {cut}, by torchvision's ToTensor and Normalize({mean}, {std})"

    def random_images(self, number: int, height: int, width: int) -> Tensor:
        """Seeded noise, prepared: float32 [number, 3, height, width].

        Of another size than the mean image's, the channels' means are subtracted.
        """
        generator = torch.Generator().manual_seed(SEED)
        pixels = torch.randint(0, 256, (number, 3, height, width), generator=generator)
        mean = torch.from_numpy(self.channel_mean).view(3, 1, 1)
        if self.mean_image is not None and self.mean_image.shape[1:] == (height, width):
            mean = torch.from_numpy(self.mean_image).double()
        std = 1.0 if self.channel_std is None else torch.from_numpy(self.channel_std).view(3, 1, 1)
        return ((pixels - mean) / std).float()


def _triple(levels: NDArray[np.float64]) -> str:
    """`(0.485, 0.456, 0.406)`."""
    return f"({', '.join(f'{level:.6g}' for level in levels)})"
