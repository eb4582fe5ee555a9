"""The two building blocks of Figure 5: a stack of convolutions F(x), to which a shortcut is added.

Batch normalisation comes after each convolution and before the activation (section 3.4), the last
ReLU of a block after the addition (section 3.2).

The layers have torchvision's names, so that its weights load key for key. `downsample` is its name
for the shortcut, also where nothing is sampled down; in a plain net it is None.
"""

from __future__ import annotations

from torch import Tensor, nn

from resnet_cluster.nets.convolution import build_conv
from resnet_cluster.nets.shortcuts import build_shortcut
from resnet_cluster.spec.model import Shortcut, Variant


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (Figure 5, left); the first has the stride.

    Shape: (N, in_channels, H, W) -> (N, width, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, width: int, *, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.out_channels = width
        self.conv1 = build_conv(in_channels, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = build_conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = build_shortcut(shortcut, in_channels, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out += self.downsample(x)
        activated: Tensor = self.relu(out)
        return activated


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions (Figure 5, right); the last is four times as wide.

    The stride is in the first 1x1 (`v1`, the paper) or in the 3x3 (`v1.5`, torchvision and most
    published recipes: a little more arithmetic, a little less error).

    Shape: (N, in_channels, H, W) -> (N, 4 * width, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, width: int, *, stride: int, shortcut: Shortcut, variant: Variant
    ) -> None:
        super().__init__()
        self.out_channels = 4 * width
        stride_1x1, stride_3x3 = (stride, 1) if variant == "v1" else (1, stride)
        self.conv1 = build_conv(in_channels, width, 1, stride=stride_1x1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = build_conv(width, width, 3, stride=stride_3x3)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = build_conv(width, self.out_channels, 1)
        self.bn3 = nn.BatchNorm2d(self.out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = build_shortcut(shortcut, in_channels, self.out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            out += self.downsample(x)
        activated: Tensor = self.relu(out)
        return activated
