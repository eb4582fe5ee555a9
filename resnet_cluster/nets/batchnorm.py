"""The batch normalisations of a network."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batchnorm_layers(net: nn.Module) -> list[_BatchNorm]:
    """Those of any number of dimensions, in the order of the network's modules."""
    return [module for module in net.modules() if isinstance(module, _BatchNorm)]
