"""Blocks and their shortcuts, each seen alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_cluster.nets import BasicBlock, Bottleneck


def build_block(
    kind: str, shortcut: Any, *, in_channels: int = 32, stride: int = 1, variant: Any = "v1"
) -> BasicBlock | Bottleneck:
    """A block with 32 (basic) or 64 (bottleneck) output channels, in training mode."""
    torch.manual_seed(0)
    if kind == "basic":
        return BasicBlock(in_channels, 32, stride=stride, shortcut=shortcut)
    return Bottleneck(in_channels, 16, stride=stride, shortcut=shortcut, variant=variant)


def silence(block: BasicBlock | Bottleneck) -> None:
    """Make F(x) = 0, so that the shortcut alone is left."""
    last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
    nn.init.zeros_(last.weight)


def option_a(x: Tensor, out_channels: int, stride: int) -> Tensor:
    """Option A as a 1x1 pooling and a concatenation."""
    pooled = functional.avg_pool2d(x, kernel_size=1, stride=stride)
    num, channels, height, width = pooled.shape
    return torch.cat([pooled, torch.zeros(num, out_channels - channels, height, width)], dim=1)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "out_channels"), [("basic", 32), ("bottleneck", 64)])
def test_option_a_subsamples_and_appends_zeros(
    kind: str, out_channels: int, stride: int, size: tuple[int, int]
) -> None:
    block = build_block(kind, "A", in_channels=16, stride=stride)
    silence(block)
    x = torch.randn(2, 16, *size)
    assert torch.equal(block(x), option_a(x, out_channels, stride).relu())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_option_a_has_no_parameters(kind: str, stride: int) -> None:
    shortcut = build_block(kind, "A", in_channels=16, stride=stride).downsample
    assert shortcut is not None
    assert list(shortcut.state_dict()) == []


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize(("kind", "channels"), [("basic", 32), ("bottleneck", 64)])
def test_a_block_that_keeps_its_shape_adds_its_input(
    kind: str, channels: int, shortcut: str
) -> None:
    block = build_block(kind, shortcut, in_channels=channels)
    silence(block)
    x = torch.randn(2, channels, 8, 8)
    assert torch.equal(block(x), x.relu())


@pytest.mark.parametrize(
    ("shortcut", "in_channels", "stride"),
    [("B", 16, 1), ("B", 32, 2), ("B", 16, 2), ("C", 32, 1), ("C", 16, 2)],
)
def test_projection_is_a_normalised_1x1_convolution(
    shortcut: str, in_channels: int, stride: int
) -> None:
    block = build_block("basic", shortcut, in_channels=in_channels, stride=stride)
    silence(block)
    x = torch.randn(4, in_channels, 6, 6)
    weight = block.state_dict()["downsample.0.weight"]
    # A 1x1 convolution is a matrix product at each place.
    projected = torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x[:, :, ::stride, ::stride])
    mean = projected.mean(dim=(0, 2, 3), keepdim=True)
    variance = projected.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    normalised = (projected - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(block(x), normalised.relu(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "channels"), [("basic", 32), ("bottleneck", 64)])
def test_plain_block_adds_nothing(kind: str, channels: int, stride: int) -> None:
    block = build_block(kind, "none", in_channels=channels, stride=stride)
    silence(block)
    x = torch.randn(2, channels, 8, 8, requires_grad=True)
    out = block(x)
    assert torch.count_nonzero(out) == 0
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.count_nonzero(gradient) == 0


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_gradient_goes_through_the_shortcut_of_option_a(kind: str) -> None:
    block = build_block(kind, "A", in_channels=16, stride=2)
    silence(block)
    x = torch.rand(2, 16, 7, 7) + 0.1  # positive, so that the last ReLU passes it
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(block(x).sum(), x)
    expected = torch.zeros(7, 7)
    expected[::2, ::2] = 1
    assert torch.equal(gradient, expected.expand_as(gradient))


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_gradient_reaches_every_layer(kind: str) -> None:
    block = build_block(kind, "B", in_channels=16, stride=2)
    block(torch.randn(2, 16, 8, 8)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("variant", "strides"), [("v1", [2, 1, 1]), ("v1.5", [1, 2, 1])], ids=["v1", "v1.5"]
)
def test_stride_of_a_bottleneck(variant: str, strides: list[int]) -> None:
    block = build_block("bottleneck", "none", stride=2, variant=variant)
    assert isinstance(block, Bottleneck)
    convs = [block.conv1, block.conv2, block.conv3]
    assert [conv.stride for conv in convs] == [(stride, stride) for stride in strides]
    assert block(torch.randn(2, 32, 9, 7)).shape == (2, 64, 5, 4)


def test_v1_sees_only_the_even_places_of_its_input() -> None:
    x = torch.rand(2, 32, 8, 8, requires_grad=True)
    seen = {}
    for variant in ("v1", "v1.5"):
        block = build_block("bottleneck", "none", stride=2, variant=variant).eval()
        (gradient,) = torch.autograd.grad(block(x).sum(), x)
        seen[variant] = gradient.abs().sum(dim=(0, 1)) > 0
    even = torch.zeros(8, 8, dtype=torch.bool)
    even[::2, ::2] = True
    assert torch.equal(seen["v1"], even)
    assert seen["v1.5"].all()


def test_stride_of_a_basic_block_is_in_its_first_convolution() -> None:
    block = build_block("basic", "none", stride=2)
    assert isinstance(block, BasicBlock)
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert block(torch.randn(2, 32, 9, 7)).shape == (2, 32, 5, 4)


@pytest.mark.parametrize("shortcut", ["none", "A", "B", "C"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_channels_last_stays_channels_last(kind: str, shortcut: str) -> None:
    block = build_block(kind, shortcut, in_channels=16, stride=2)
    block.to(memory_format=torch.channels_last)
    x = torch.randn(2, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    assert block(x).is_contiguous(memory_format=torch.channels_last)
    if block.downsample is not None:
        assert block.downsample(x).is_contiguous(memory_format=torch.channels_last)
