"""The one kind of convolution that the paper's nets have."""

from __future__ import annotations

from torch import nn


def build_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1
) -> nn.Conv2d:
    """A convolution that keeps the image's size, but for its stride.

    It has no bias: the batch normalisation that follows every one of them would subtract it again.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
