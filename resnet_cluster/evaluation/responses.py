"""How strongly each 3x3 layer responds: what Figure 7 of the paper shows (section 4.2).

The response of a layer is its output after batch normalisation, before the ReLU and the addition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
    with _responses(net, sums):
        for images in batches:
            net(images)
    return tuple(LayerResponse(name=name, std=_std(total)) for name, total in sums.items())


@contextlib.contextmanager
def _responses(net: nn.Module, sums: dict[str, Tensor]) -> Iterator[None]:
    """Meanwhile each pass adds to the sums of each layer: number, sum, sum of squares."""
    latest: dict[int, str] = {}

    def after_conv(name: str, output: Tensor) -> None:
        latest.clear()
        latest[id(output)] = name

    def after_norm(given: Tensor, output: Tensor) -> None:
        if (name := latest.pop(id(given), None)) is not None:
            values = output.double()
            number = torch.tensor(float(values.numel()), dtype=torch.float64, device=values.device)
            total = torch.stack((number, values.sum(), values.square().sum()))
            sums[name] = sums[name] + total if name in sums else total

    handles = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            handles.append(
                module.register_forward_hook(lambda _, __, out, name=name: after_conv(name, out))
            )
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(
                module.register_forward_hook(lambda _, ins, out: after_norm(ins[0], out))
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _std(total: Tensor) -> float:
    number, first, second = total.tolist()
    mean = first / number
    return float(max(second / number - mean * mean, 0.0) ** 0.5)
