"""The paper's networks, plain and residual.

Read in this order: `architectures` (which nets there are), `shortcuts` and `blocks` (the parts),
`resnet` (the whole and its initialisation), `counts` (parameters and FLOPs).

Importing this package does not import torch: the names that need it are loaded when first used, so
that a job can be checked without waiting for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from resnet_cluster.nets.architectures import Architecture, check_architecture, find_architecture

if TYPE_CHECKING:
    from resnet_cluster.nets.blocks import BasicBlock, Bottleneck
    from resnet_cluster.nets.counts import NetFacts, count_flops, describe, num_parameters
    from resnet_cluster.nets.resnet import ResNet, build_model, build_net
else:
    _MODULE_OF = {
        "BasicBlock": "blocks",
        "Bottleneck": "blocks",
        "NetFacts": "counts",
        "count_flops": "counts",
        "describe": "counts",
        "num_parameters": "counts",
        "ResNet": "resnet",
        "build_model": "resnet",
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
    "build_model",
    "build_net",
    "check_architecture",
    "count_flops",
    "describe",
    "find_architecture",
    "num_parameters",
]
