"""The forward pass of the whole net against a second one, written as formulas over its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from resnet_cluster.nets import build_net


@dataclass
class ByHand:
    """The net in training mode: every batch normalisation uses the statistics of its batch."""

    state: dict[str, Tensor]
    shortcut: str
    variant: str

    def __call__(self, images: Tensor, num_blocks: list[int]) -> Tensor:
        if self.state["conv1.weight"].shape[-1] == 7:
            x = self.conv_bn(images, "conv1", "bn1", stride=2).relu()
            x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        else:
            x = self.conv_bn(images, "conv1", "bn1").relu()
        for stage, num in enumerate(num_blocks, start=1):
            for number in range(num):
                stride = 2 if stage > 1 and number == 0 else 1
                x = self.block(x, f"layer{stage}.{number}.", stride)
        return x.mean(dim=(2, 3)) @ self.state["fc.weight"].T + self.state["fc.bias"]

    def conv_bn(self, x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        variance = x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
        scale, shift = self.state[f"{bn}.weight"], self.state[f"{bn}.bias"]
        normalised = (x - mean) / (variance + 1e-5).sqrt()
        return normalised * scale[:, None, None] + shift[:, None, None]

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        if f"{name}conv3.weight" in self.state:
            first, second = (stride, 1) if self.variant == "v1" else (1, stride)
            out = self.conv_bn(x, f"{name}conv1", f"{name}bn1", first).relu()
            out = self.conv_bn(out, f"{name}conv2", f"{name}bn2", second).relu()
            out = self.conv_bn(out, f"{name}conv3", f"{name}bn3")
        else:
            out = self.conv_bn(x, f"{name}conv1", f"{name}bn1", stride).relu()
            out = self.conv_bn(out, f"{name}conv2", f"{name}bn2")
        return (out + self.shortcut_of(x, f"{name}downsample.", stride, out.shape[1])).relu()

    def shortcut_of(self, x: Tensor, name: str, stride: int, channels: int) -> Tensor:
        changes_shape = stride > 1 or channels != x.shape[1]
        if self.shortcut == "none":
            return torch.zeros(())
        if self.shortcut == "C" or (self.shortcut == "B" and changes_shape):
            return self.conv_bn(x, f"{name}0", f"{name}1", stride)
        x = functional.avg_pool2d(x, kernel_size=1, stride=stride)
        zeros = torch.zeros(len(x), channels - x.shape[1], *x.shape[2:])
        return torch.cat([x, zeros], dim=1)


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize(
    ("family", "depth", "variant", "num_blocks", "size"),
    [
        ("cifar", 20, "v1", [3, 3, 3], (32, 32)),
        ("cifar", 8, "v1", [1, 1, 1], (19, 30)),
        ("imagenet", 50, "v1", [3, 4, 6, 3], (40, 40)),
        ("imagenet", 50, "v1.5", [3, 4, 6, 3], (55, 38)),
    ],
)
def test_forward_as_by_hand(
    family: Any,
    depth: int,
    variant: Any,
    num_blocks: list[int],
    size: tuple[int, int],
    shortcut: Any,
) -> None:
    torch.manual_seed(0)
    net = build_net(
        family=family, depth=depth, shortcut=shortcut, variant=variant, num_classes=10
    ).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = ByHand(net.state_dict(), shortcut, variant)(images, num_blocks)
        torch.testing.assert_close(net(images), expected)
