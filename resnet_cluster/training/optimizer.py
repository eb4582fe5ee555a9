"""SGD with momentum, as section 3.4 of the paper has it."""

from __future__ import annotations

import torch
from torch import nn

from resnet_cluster.spec import TrainSpec


def build_optimizer(net: nn.Module, train: TrainSpec) -> torch.optim.SGD:
    """The optimiser of a network; its learning rate is set before each step.

    Where `decay_bn_and_bias` is off, parameters of one dimension (batch normalisation's and
    biases) do not decay.
    """
    decays: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in net.parameters():
        is_spared = parameter.ndim <= 1 and not train.decay_bn_and_bias
        (spared if is_spared else decays).append(parameter)
    groups = [{"params": decays, "weight_decay": train.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    return torch.optim.SGD(
        groups, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov, fused=True
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
