"""BlurPool: where it is, what it is called, and what it keeps as it was."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import convolve
from torch import nn

from resnet_cluster.nets import build_net, describe_model
from resnet_cluster.nets.blur import BlurredConv2d
from resnet_cluster.spec import PaperNetSpec


def test_the_images_are_filtered_before_the_convolution() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 3, 3, stride=2, padding=1, bias=False)
    images = torch.randn(2, 16, 9, 8)
    line = torch.tensor([0.25, 0.5, 0.25])
    filters = torch.outer(line, line).numpy()
    filtered = torch.stack(
        [
            torch.stack(
                [torch.from_numpy(convolve(c.numpy(), filters, mode="constant")) for c in i]
            )
            for i in images
        ]
    )
    expected = conv(filtered)
    torch.testing.assert_close(BlurredConv2d(conv)(images), expected)


@pytest.mark.parametrize(("depth", "num_blurred"), [(18, 6), (50, 6)])
def test_it_is_before_each_stride_but_the_stems(depth: int, num_blurred: int) -> None:
    """Three stages begin with a stride, in the block and in its shortcut."""
    with torch.device("meta"):
        net = build_net(
            family="imagenet", depth=depth, shortcut="B", blur_pool=True, num_classes=10
        )
        without = build_net(family="imagenet", depth=depth, shortcut="B", num_classes=10)
    blurred = [name for name, part in net.named_modules() if isinstance(part, BlurredConv2d)]
    assert len(blurred) == num_blurred
    assert all(name.startswith(("layer2.0", "layer3.0", "layer4.0")) for name in blurred)
    assert list(net.state_dict()) == list(without.state_dict())


def test_its_arithmetic_is_counted() -> None:
    facts = [
        describe_model(
            PaperNetSpec(family="cifar", depth=8, shortcut="A", blur_pool=blur),
            num_classes=10,
            sizes=(32,),
        )
        for blur in (False, True)
    ]
    assert facts[0].num_parameters == facts[1].num_parameters
    # Nine of each pixel of 16 channels at 32x32, and of 32 at 16x16.
    assert facts[1].flops - facts[0].flops == 9 * (16 * 32 * 32 + 32 * 16 * 16)
