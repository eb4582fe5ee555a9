"""An exponential moving average of the weights, moved once per optimiser step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Averages of a network's parameters and of this rank's parts of its running statistics.

    The average is linear, so averaging the parts of a sum averages the sum.

    Args:
        net: the network, as it starts.
        parts: this rank's parts of its running statistics.
        decay: share of the old average kept at each step.
    """

    def __init__(self, net: nn.Module, parts: list[Tensor], decay: float) -> None:
        self._moving = list(net.parameters()) + parts
        self._num_parameters = len(self._moving) - len(parts)
        self.averages = [tensor.detach().clone() for tensor in self._moving]
        self._weight = 1.0 - decay

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the weights as they are now."""
        torch._foreach_lerp_(self.averages, self._moving, self._weight)

    @property
    def parameters(self) -> list[Tensor]:
        """Averages of the parameters, in the network's order."""
        return self.averages[: self._num_parameters]

    @property
    def parts(self) -> list[Tensor]:
        """Averages of the parts."""
        return self.averages[self._num_parameters :]
