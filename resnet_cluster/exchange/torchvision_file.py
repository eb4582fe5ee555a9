"""State dicts for torchvision's own classes, which load them key for key."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from resnet_cluster.checkpoints import load_weights, save_weights
from resnet_cluster.errors import UsageError
from resnet_cluster.exchange.checking import Check, Exported, checked
from resnet_cluster.nets import find_architecture
from resnet_cluster.nets.models import WITHOUT_AUXILIARIES
from resnet_cluster.spec import ModelSpec, PaperNetSpec, TorchvisionNetSpec


def check_torchvision_has(model: ModelSpec) -> None:
    """Refuse a network that torchvision has no class of.

    Raises:
        UsageError: it has none; the message says why.
    """
    if why := _lack(model):
        raise UsageError(
            f"torchvision has no such network: {why}",
            mend="use --to safetensors, which `resnet-cluster import` reads, or --to onnx",
        )


def write_torchvision(part: Path, exported: Exported) -> Check:
    """Write a state dict, and load it into torchvision's class.

    Raises:
        IntegrityError: that gives other outputs.
        OSError: the disk is full or cannot be written.
    """
    from torchvision import models

    save_weights(part, exported.weights)
    model = exported.model
    arch = model.arch if isinstance(model, TorchvisionNetSpec) else _resnet(model)
    options = {"aux_logits": False, "init_weights": False} if arch in WITHOUT_AUXILIARIES else {}
    with torch.device("meta"):  # nothing is drawn
        theirs: nn.Module = models.get_model(arch, num_classes=exported.num_classes, **options)
    # In one layout, as the run's network is: in another, convolutions round otherwise.
    layout = torch.contiguous_format
    weights = {n: t.clone(memory_format=layout) for n, t in load_weights(part).items()}
    theirs.load_state_dict(weights, assign=True)
    return checked(
        exported.net(), theirs.eval(), (exported.images(),), against=f"torchvision's {arch}"
    )


def _resnet(model: ModelSpec) -> str:
    assert isinstance(model, PaperNetSpec), "others have been refused"
    return f"resnet{model.depth}"


def _lack(model: ModelSpec) -> str:
    """What this network has that none of torchvision's has; empty where it has the same."""
    if isinstance(model, TorchvisionNetSpec):
        return ""
    if not isinstance(model, PaperNetSpec):
        return "it is one of your own"
    if model.family == "cifar":
        return "its ResNets are ImageNet's, with four stages"
    if model.shortcut == "none":
        return "it has no plain networks"
    if model.shortcut != "B":
        return f"its shortcuts are of option B, and this one's of {model.shortcut}"
    if model.blur_pool:
        return "it has no BlurPool"
    block = find_architecture(model.family, model.depth).block
    if block == "bottleneck" and model.variant == "v1":
        return "its bottlenecks have their stride in the 3x3 (v1.5), and this one's in the 1x1 (v1)"
    return ""
