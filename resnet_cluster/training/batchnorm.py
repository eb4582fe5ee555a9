"""Running statistics of batch normalisation, as one process would have them.

A running statistic r takes r <- k r + (1 - k) s for each micro-batch with statistic s, where
k = 1 - momentum. That is linear: with the M micro-batches of a step in their order,

    r' = k^M r + sum over j of (1 - k) k^(M-1-j) s_j.

So each rank keeps a PART of r. Its own micro-batches [first, end) move the part as torch does;
multiplying it by k^first before them and by k^(M-end) after them gives each statistic the weight
that its place among all M gives it, and the sum of the parts over the ranks is r, at no
communication per step. Rank 0's part starts as r, the others' as zero.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from resnet_cluster.nets import batchnorm_layers


class BatchNormParts:
    """This rank's parts of the running statistics of a network.

    Args:
        net: its batch normalisations must share one momentum; their buffers become parts here.
        world_rank: this rank.
        world_size: number of ranks; with one rank the part is the whole and nothing is done.
        micro_batches: this rank's places among the step's micro-batches.
        num_micro_batches: micro-batches of a step, over all ranks.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        world_rank: int,
        world_size: int,
        micro_batches: range,
        num_micro_batches: int,
    ) -> None:
        self.parts = running_statistics(net)
        self._others = num_micro_batches - len(micro_batches)
        self._counters = batch_counters(net)
        keep = 1.0 - _momentum(net) if self.parts else 1.0
        self._before = keep**micro_batches.start
        self._after = keep ** (num_micro_batches - micro_batches.stop)
        if world_rank > 0 and self.parts:
            torch._foreach_zero_(self.parts)
        self._is_whole = world_size == 1

    @torch.no_grad()
    def before_step(self) -> None:
        """Give the part the weight that the micro-batches of lower ranks leave it."""
        if self._before != 1.0:
            torch._foreach_mul_(self.parts, self._before)

    @torch.no_grad()
    def after_step(self) -> None:
        """Give the part the weight that the micro-batches of higher ranks leave it."""
        if self._after != 1.0:
            torch._foreach_mul_(self.parts, self._after)
        if self._others and self._counters:
            torch._foreach_add_(self._counters, self._others)

    @torch.no_grad()
    def whole(self, parts: list[Tensor]) -> list[Tensor]:
        """The sums over all ranks of such parts; every rank calls it."""
        if self._is_whole or not parts:
            return [part.clone() for part in parts]
        flat = torch.cat(parts)
        dist.all_reduce(flat)
        return list(torch.split(flat, [len(part) for part in parts]))


def running_statistics(net: nn.Module) -> list[Tensor]:
    """The running means and variances of a network, in the order of its layers."""
    buffers: list[Tensor] = []
    for layer in batchnorm_layers(net):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        buffers += [layer.running_mean, layer.running_var]
    return buffers


def batch_counters(net: nn.Module) -> list[Tensor]:
    """The counts of micro-batches that a network's layers have seen."""
    counters = (layer.num_batches_tracked for layer in batchnorm_layers(net))
    return [counter for counter in counters if counter is not None]


def _momentum(net: nn.Module) -> float:
    momenta = {layer.momentum for layer in batchnorm_layers(net)}
    assert len(momenta) == 1, f"layers of different momentum: {momenta}"
    momentum = momenta.pop()
    assert momentum is not None, "a cumulative average is not a moving one"
    return momentum
