"""SGD with momentum, as section 3.4 of the paper has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from resnet_cluster.spec import TrainSpec


@dataclass(kw_only=True)
class ParameterGroup:
    """Parameters that decay alike, and what they remember."""

    parameters: list[nn.Parameter]
    weight_decay: float
    momenta: list[Tensor | None] = field(init=False)
    """None before the first step."""

    def __post_init__(self) -> None:
        self.momenta = [None] * len(self.parameters)


class Sgd:
    """torch.optim.SGD's arithmetic, to the bit, on its own fused kernel.

    Not torch.optim's class: that imports the front end of torch.compile at its first step, two to
    three seconds in every worker.

    Args:
        groups: the parameters.
        momentum: of the moving sum of gradients.
        nesterov: whether to look ahead by it.
    """

    _step_supports_amp_scaling = True
    """torch.amp.GradScaler then leaves scale and infinities to the kernel, and waits for none.

    It sets `grad_scale` and `found_inf` for the time of a step.
    """

    def __init__(self, groups: list[ParameterGroup], *, momentum: float, nesterov: bool) -> None:
        self.groups = groups
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def param_groups(self) -> list[dict[str, list[nn.Parameter]]]:
        """The parameters, as GradScaler looks for them."""
        return [{"params": group.parameters} for group in self.groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self, *, lr: float | Tensor) -> None:
        """Move every parameter; each has a gradient."""
        for group in self.groups:
            sgd(
                list[Tensor](group.parameters),
                [_gradient(parameter) for parameter in group.parameters],
                group.momenta,
                fused=True,
                grad_scale=getattr(self, "grad_scale", None),
                found_inf=getattr(self, "found_inf", None),
                weight_decay=group.weight_decay,
                momentum=self.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=self.nesterov,
                maximize=False,
            )

    def state(self) -> list[list[Tensor | None]]:
        """What the next step needs beside the parameters: the momenta of each group, live."""
        return [list(group.momenta) for group in self.groups]

    def load_state(self, state: Iterable[Sequence[Tensor | None]]) -> None:
        """Go on from a copy of `state`, on the parameters' devices."""
        for group, momenta in zip(self.groups, state, strict=True):
            pairs = zip(group.parameters, momenta, strict=True)
            group.momenta = [None if m is None else m.to(p.device, copy=True) for p, m in pairs]


def build_optimizer(net: nn.Module, train: TrainSpec) -> Sgd:
    """The optimiser of a network.

    Where `decay_bn_and_bias` is off, parameters of one dimension (batch normalisation's and
    biases) do not decay.
    """
    decays: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in net.parameters():
        is_spared = parameter.ndim <= 1 and not train.decay_bn_and_bias
        (spared if is_spared else decays).append(parameter)
    groups = [
        ParameterGroup(parameters=decays, weight_decay=train.weight_decay),
        ParameterGroup(parameters=spared, weight_decay=0.0),
    ]
    return Sgd(
        [group for group in groups if group.parameters],
        momentum=train.momentum,
        nesterov=train.nesterov,
    )


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None, "a backward pass comes before a step"
    return parameter.grad
