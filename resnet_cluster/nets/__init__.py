"""The paper's networks, plain and residual, and others that jobs name.

Read in this order: `architectures` (which nets there are), `shortcuts` and `blocks` (the parts),
`resnet` (the whole and its initialisation), `counts` (parameters and FLOPs); then `models` (any
network that a job may name) and `custom` (those of the user's code).

Importing this package does not import torch: the names that need it are loaded when first used, so
that a job can be checked without waiting for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from resnet_cluster.nets.architectures import Architecture, check_architecture, find_architecture

if TYPE_CHECKING:
    from resnet_cluster.nets.batchnorm import batchnorm_layers
    from resnet_cluster.nets.blocks import BasicBlock, Bottleneck
    from resnet_cluster.nets.counts import NetFacts, count_flops, num_parameters
    from resnet_cluster.nets.custom import offer_code
    from resnet_cluster.nets.models import build_model, describe_model
    from resnet_cluster.nets.resnet import ResNet, build_net
else:
    _MODULE_OF = {
        "BasicBlock": "blocks",
        "Bottleneck": "blocks",
        "batchnorm_layers": "batchnorm",
        "build_model": "models",
        "describe_model": "models",
        "offer_code": "custom",
        "NetFacts": "counts",
        "count_flops": "counts",
        "num_parameters": "counts",
        "ResNet": "resnet",
        "build_net": "resnet",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


__all__ = [
    "Architecture",
    "BasicBlock",
    "Bottleneck",
    "NetFacts",
    "ResNet",
    "batchnorm_layers",
    "build_model",
    "build_net",
    "check_architecture",
    "count_flops",
    "describe_model",
    "find_architecture",
    "num_parameters",
    "offer_code",
]
