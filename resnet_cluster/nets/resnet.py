"""The whole net: stem, stages of blocks, global average pool, classifier (Table 1, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from resnet_cluster.nets.architectures import Architecture, check_architecture, find_architecture
from resnet_cluster.nets.blocks import BasicBlock, Bottleneck
from resnet_cluster.nets.blur import blur_strides
from resnet_cluster.nets.convolution import build_conv
from resnet_cluster.spec.job import Family, ModelSpec, Shortcut, Variant

Block = BasicBlock | Bottleneck


class ResNet(nn.Module):
    """A plain or residual net of the paper; `build_net` makes one from its name.

    Keys of the state dict are torchvision's: conv1, bn1, layer1 to layer4 (layer3 for CIFAR), fc.

    Shape: images (N, 3, H, W) of any size -> logits (N, num_classes).
    """

    def __init__(
        self, architecture: Architecture, *, shortcut: Shortcut, variant: Variant, num_classes: int
    ) -> None:
        super().__init__()
        width = architecture.widths[0]
        self.conv1, self.max_pool = _build_stem(architecture.family, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

        stages, channels = _build_stages(architecture, shortcut, variant)
        self.stage_names = tuple(f"layer{number}" for number in range(1, len(stages) + 1))
        for name, stage in zip(self.stage_names, stages, strict=True):
            self.add_module(name, stage)

        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self.apply(_initialise)

    def stem(self, images: Tensor) -> Tensor:
        """All before the first stage: (N, 3, H, W) -> (N, 64, H/4, W/4); CIFAR: (N, 16, H, W)."""
        features: Tensor = self.max_pool(self.relu(self.bn1(self.conv1(images))))
        return features

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for name in self.stage_names:
            features = self.get_submodule(name)(features)
        logits: Tensor = self.fc(self.average_pool(features).flatten(1))
        return logits


def build_net(
    *,
    family: Family,
    depth: int,
    shortcut: Shortcut,
    variant: Variant = "v1",
    blur_pool: bool = False,
    num_classes: int,
) -> ResNet:
    """A new net with He initialisation, drawn from torch's global generator.

    Under `with torch.device(...)` it is built on that device; on "meta" it takes no memory.

    Raises:
        UsageError: the paper describes no such net (see `check_architecture`).
    """
    check_architecture(family, depth, shortcut, variant)
    assert num_classes >= 1
    architecture = find_architecture(family, depth)
    net = ResNet(architecture, shortcut=shortcut, variant=variant, num_classes=num_classes)
    if blur_pool:
        blur_strides(net)
    return net


def build_model(model: ModelSpec, num_classes: int) -> ResNet:
    """A new net as a job names it; see `build_net`.

    Raises:
        UsageError: the paper describes no such net.
    """
    return build_net(
        family=model.family,
        depth=model.depth,
        shortcut=model.shortcut,
        variant=model.variant,
        blur_pool=model.blur_pool,
        num_classes=num_classes,
    )


def _build_stem(family: Family, width: int) -> tuple[nn.Conv2d, nn.Module]:
    if family == "imagenet":
        return build_conv(3, width, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1)
    return build_conv(3, width, 3), nn.Identity()


def _build_stages(
    architecture: Architecture, shortcut: Shortcut, variant: Variant
) -> tuple[list[nn.Sequential], int]:
    """The stages, and the channels of the last one's output."""
    build_block: Callable[..., Block] = partial(BasicBlock, shortcut=shortcut)
    if architecture.block == "bottleneck":
        build_block = partial(Bottleneck, shortcut=shortcut, variant=variant)
    stages: list[nn.Sequential] = []
    channels = architecture.widths[0]
    for width, num_blocks in zip(architecture.widths, architecture.num_blocks, strict=True):
        # The first stage works at the stem's resolution; each later one halves it.
        strides = [2 if stages else 1] + [1] * (num_blocks - 1)
        stage = nn.Sequential()
        for stride in strides:
            block = build_block(channels, width, stride=stride)
            stage.append(block)
            channels = block.out_channels
        stages.append(stage)
    return stages, channels


def _initialise(module: nn.Module) -> None:
    """He initialisation (section 3.4; He et al. 2015, "Delving Deep into Rectifiers").

    Weights are drawn from N(0, 2 / fan_in), that paper's own choice (its Eqn. 10 keeps the size of
    the forward signal; its Eqn. 14, fan_out, that of the gradients, and it finds that either will
    do; torchvision takes fan_out). The classifier is drawn by the same rule. Batch normalisation
    begins as the identity.
    """
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return  # nothing to draw, and torch would import its compiler to do so
    if isinstance(module, nn.Conv2d | nn.Linear):
        fan_in = module.weight[0].numel()
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
