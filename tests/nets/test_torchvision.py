"""The nets that torchvision has too: the same keys, and with the same weights the same outputs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from resnet_cluster.nets import ResNet, build_net

NUM_CLASSES = 10


def build_pair(depth: int) -> tuple[ResNet, nn.Module]:
    """Our net and torchvision's, with the same weights, all of them drawn at random."""
    variant: Any = "v1.5" if depth >= 50 else "v1"
    with torch.device("meta"):
        ours = build_net(
            family="imagenet", depth=depth, shortcut="B", variant=variant, num_classes=NUM_CLASSES
        )
        theirs: nn.Module = models.get_model(f"resnet{depth}", num_classes=NUM_CLASSES)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {name: draw(name, tensor) for name, tensor in theirs.state_dict().items()}
    for net in (ours, theirs):
        copies = {name: tensor.clone() for name, tensor in state.items()}
        net.load_state_dict(copies, assign=True)
    return ours, theirs


def draw(name: str, like: Tensor) -> Tensor:
    """Weights of a usual size; no batch normalisation is left as it begins, where all are alike."""
    if like.dtype == torch.int64:
        return torch.zeros(like.shape, dtype=like.dtype)
    if like.dim() == 1:
        centre = 1.0 if name.endswith(("weight", "running_var")) else 0.0
        return centre + 0.2 * (torch.rand(like.shape) - 0.5)
    return torch.randn(like.shape) * math.sqrt(2 / like[0].numel())


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_equal_to_torchvision(depth: int) -> None:
    torch.manual_seed(depth)
    ours, theirs = build_pair(depth)
    images = torch.randn(2, 3, 33, 33)
    for training in (True, False):  # training first: evaluation then has real running statistics
        ours.train(training)
        theirs.train(training)
        with torch.no_grad():
            outputs = ours(images)
            assert outputs.isfinite().all()
            assert torch.equal(outputs, theirs(images))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_gradients_equal_torchvisions() -> None:
    torch.manual_seed(0)
    ours, theirs = build_pair(50)
    images = torch.randn(2, 3, 33, 33)
    for net in (ours, theirs):
        net(images).square().mean().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected[name].grad)
