"""What a net costs: parameters and FLOPs, counted as the paper counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, kw_only=True)
class NetFacts:
    """The size of a net and the arithmetic of one image."""

    num_parameters: int
    """Trained numbers: all but the running means and variances of batch normalisation."""
    flops: int
    """Multiply-adds of the convolutions and the classifier for one image."""


def num_parameters(net: nn.Module) -> int:
    """Trained numbers of the net."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_flops(net: nn.Module, image_size: int, *, device: str = "meta") -> int:
    """Multiply-adds of the convolutions and the classifier for one image, the paper's "FLOPs".

    A multiplication and its addition count as one; batch normalisation, ReLU, pooling and the
    additions of shortcuts are left out, as in Table 1. Nothing is computed and the net is not
    changed: only shapes go through it, on the meta device.

    Args:
        net: the net, in evaluation mode where its layers need that.
        image_size: height and width of the image, in pixels.
        device: another one than "meta" computes, for nets whose code looks at values.
    """
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    there = {name: tensor.to(device) for name, tensor in tensors.items()}
    image = torch.zeros(1, 3, image_size, image_size, device=device)
    multiply_adds = _MultiplyAdds(only_shapes=device == "meta")
    with torch.no_grad(), multiply_adds:
        functional_call(net, there, (image,))
    return multiply_adds.total


class _MultiplyAdds(TorchFunctionMode):
    """Counts every convolution and linear layer that is called while it is entered."""

    def __init__(self, *, only_shapes: bool) -> None:
        super().__init__()
        self.total = 0
        self._only_shapes = only_shapes

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = _shaped_like(func, args) if self._only_shapes else None
        if output is None:
            output = func(*args, **(kwargs or {}))
        if func in (functional.conv2d, functional.linear):
            weight = args[1]
            # Each output is the inner product of one filter, or one row, with its inputs.
            self.total += output.numel() * weight[0].numel()
        return output


def _shaped_like(func: Any, args: tuple[Any, ...]) -> Tensor | None:
    """An output's shape where the meta device is slow to find it; None where torch is to be asked.

    It takes its time over batch normalisation, and refuses it of a single value; for the others
    torch imports its compiler first, for two seconds.
    """
    if func is functional.batch_norm:
        return args[0]  # type: ignore[no-any-return]
    if func is functional.adaptive_avg_pool2d and args[1] == 1:
        return args[0][..., :1, :1]  # type: ignore[no-any-return]
    if func is functional.linear:
        images, weight = args[:2]
        return images.new_empty(*images.shape[:-1], weight.shape[0])  # type: ignore[no-any-return]
    return None
