"""What is added to the output of a block: options A, B and C of section 4.1, or nothing.

| kind | where dimensions rise | elsewhere          |
|------|-----------------------|--------------------|
| none | no addition           | no addition        |
| A    | ZeroPaddedShortcut    | nn.Identity        |
| B    | ProjectionShortcut    | nn.Identity        |
| C    | ProjectionShortcut    | ProjectionShortcut |
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from resnet_cluster.nets.convolution import build_conv
from resnet_cluster.spec.model import Shortcut


class ZeroPaddedShortcut(nn.Module):
    """Option A: identity with a stride, and zeros for the channels that the input lacks.

    The zeros are appended after the input's own channels. The paper does not say where they go;
    any other place gives the same net with its channels renumbered.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        assert out_channels >= in_channels, "a shortcut cannot drop channels"
        self.num_zero_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        subsampled = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(subsampled, (0, 0, 0, 0, 0, self.num_zero_channels))

    def extra_repr(self) -> str:
        return f"num_zero_channels={self.num_zero_channels}, stride={self.stride}"


class ProjectionShortcut(nn.Sequential):
    """Options B and C: a 1x1 convolution with the stride, followed by batch normalisation.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(
            build_conv(in_channels, out_channels, 1, stride=stride),
            nn.BatchNorm2d(out_channels),
        )


def build_shortcut(
    kind: Shortcut, in_channels: int, out_channels: int, *, stride: int
) -> nn.Module | None:
    """The shortcut of one block; None where the block adds nothing (the plain net)."""
    if kind == "none":
        return None
    keeps_shape = stride == 1 and in_channels == out_channels
    if keeps_shape and kind != "C":
        return nn.Identity()
    if kind == "A":
        return ZeroPaddedShortcut(in_channels, out_channels, stride=stride)
    return ProjectionShortcut(in_channels, out_channels, stride=stride)
