"""Responses of layers against torchvision's extraction of features and numpy's deviation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.feature_extraction import create_feature_extractor

from resnet_cluster.evaluation import measure_responses
from resnet_cluster.nets import build_net


@pytest.mark.parametrize(
    ("family", "depth", "num_layers"), [("cifar", 8, 7), ("imagenet", 18, 16), ("imagenet", 50, 16)]
)
@pytest.mark.parametrize("shortcut", ["none", "B"])
def test_each_3x3_layer_after_its_normalisation(
    family: str, depth: int, num_layers: int, shortcut: str
) -> None:
    torch.manual_seed(0)
    net = build_net(family=family, depth=depth, shortcut=shortcut, num_classes=5)  # type: ignore[arg-type]
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 40, 40))  # running statistics of its own
    images = torch.randn(11, 3, 40, 40)
    found = measure_responses(net, images.split([4, 4, 3]))
    convolutions = {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)
    }
    assert [layer.name for layer in found] == list(convolutions)
    assert len(found) == num_layers

    # Each output is copied as it appears: ReLU changes it in place afterwards.
    norms = {name: name.replace("conv", "bn") for name in convolutions}
    copies: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    modules = dict(net.named_modules())
    handles = [
        modules[norm].register_forward_hook(
            lambda _, __, out, name=name: copies.update({name: out.numpy().copy()})
        )
        for name, norm in norms.items()
    ]
    with torch.no_grad():
        net.eval()(images)
    for handle in handles:
        handle.remove()
    for layer in found:
        assert layer.std == pytest.approx(copies[layer.name].std(), rel=1e-4)


def test_it_leaves_no_hook_behind() -> None:
    net = build_net(family="cifar", depth=8, shortcut="A", num_classes=5)
    measure_responses(net, [torch.randn(2, 3, 8, 8)])
    assert not any(module._forward_hooks for module in net.modules())
    assert create_feature_extractor(net, ["fc"])
