"""The moments at which ranks look up from their steps and agree: about once a second.

Between them no rank waits for a device or for another rank beyond its gradients. At a pulse they
sum what they have counted, hear whether somebody wants them to stop, and agree on the next pulse.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from resnet_cluster.evaluation import Totals, totals_of

SECONDS_BETWEEN = 1.0
MAX_STEPS_BETWEEN = 500


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What all ranks know after a pulse."""

    epoch: Totals
    """Sums over all ranks since the epoch's mark."""
    window: Totals
    """Sums over all ranks since the window's mark."""
    stop: bool
    """Whether any rank was asked to stop."""


class Pulse:
    """Decides when ranks agree, and lets them.

    Args:
        device: where the sums are.
        world_size: number of ranks; with more than one, torch.distributed is initialised.
    """

    def __init__(self, device: torch.device, world_size: int) -> None:
        self.epoch_mark = torch.zeros(4, dtype=torch.float64, device=device)
        self.window_mark = self.epoch_mark.clone()
        self._world_size = world_size
        self._next_step = 0
        self._last_step = 0
        self._last_time = time.monotonic()

    def start(self, step: int) -> None:
        """Begin to measure time, at `step` steps done: those before it took another process's."""
        self._next_step = self._last_step = step
        self._last_time = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether `step` steps done is the next moment that was agreed on."""
        return step >= self._next_step

    def beat(self, step: int, sums: Tensor, *, stop: bool) -> Agreed:
        """Agree; every rank calls it after the same step.

        Args:
            step: optimiser steps done.
            sums: this rank's sums so far.
            stop: whether this rank was asked to stop.
        """
        own = sums.new_tensor([float(stop), self._wanted_interval(step)])
        message = torch.cat((sums - self.epoch_mark, sums - self.window_mark, own))
        if self._world_size > 1:
            dist.all_reduce(message)
        epoch, window, (stops, intervals) = torch.split(message, [4, 4, 2])
        # The mean of what the ranks want, since each measured its own clock.
        self._next_step = step + max(1, round(float(intervals) / self._world_size))
        self._last_step, self._last_time = step, time.monotonic()
        return Agreed(epoch=totals_of(epoch), window=totals_of(window), stop=bool(stops))

    def _wanted_interval(self, step: int) -> float:
        steps = step - self._last_step
        if steps <= 0:
            return 1.0
        seconds = max(time.monotonic() - self._last_time, 1e-9)
        return min(max(steps * SECONDS_BETWEEN / seconds, 1.0), float(MAX_STEPS_BETWEEN))
