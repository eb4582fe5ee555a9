"""How strongly each 3x3 layer responds: what Figure 7 of the paper shows (section 4.2).

The response of a layer is its output after batch normalisation, before the ReLU and the addition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnet_cluster.evaluation.layers import watched


@dataclass(frozen=True, kw_only=True)
class LayerResponse:
    """A 3x3 layer, by the name of its convolution, and the deviation of all its responses."""

    name: str
    std: float


@torch.inference_mode()
def measure_responses(net: nn.Module, batches: Iterable[Tensor]) -> tuple[LayerResponse, ...]:
    """The standard deviation of each 3x3 layer's responses, in the order in which they are passed.

    Over all images, channels and places of a layer at once.

    Args:
        net: a network whose 3x3 convolutions are each followed by batch normalisation; put into
            evaluation mode here.
        batches: float [b, 3, h, w], ready for the network.
    """
    net.eval()
    sums: dict[str, Tensor] = {}

    def add(name: str, output: Tensor) -> None:
        values = output.double()
        number = torch.tensor(float(values.numel()), dtype=torch.float64, device=values.device)
        total = torch.stack((number, values.sum(), values.square().sum()))
        sums[name] = sums[name] + total if name in sums else total

    with watched(net, add):
        for images in batches:
            net(images)
    return tuple(LayerResponse(name=name, std=_std(total)) for name, total in sums.items())


def _std(total: Tensor) -> float:
    number, first, second = total.tolist()
    mean = first / number
    return float(max(second / number - mean * mean, 0.0) ** 0.5)
