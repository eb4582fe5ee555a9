"""Checkpoints of a training that runs on several ranks.

What a rank holds is of three kinds. SHARED state is the same everywhere. ADDENDS are tensors whose
sum over the ranks is what is meant (counted errors, parts of running statistics). RANDOM states
are a rank's own. A resume at the same world size gives every rank its own back, bit for bit; at
another, rank 0 takes the sums and the others nothing, which means the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from resnet_cluster.checkpoints import CheckpointFolder
from resnet_cluster.training.context import Context


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """A training between two steps, as one rank sees it."""

    step: int
    """Optimiser steps done."""
    shared: dict[str, Any]
    addends: list[Tensor]
    random: dict[str, Tensor]


class Keeper:
    """Saves states and finds the newest; rank 0 writes, every rank reads.

    Args:
        context: the world of this rank.
    """

    def __init__(self, context: Context) -> None:
        self._rank = context.world_rank
        self._world_size = context.world_size
        self._device = context.device
        self._folder = CheckpointFolder(context.run_dir)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint; every rank calls it after the same step.

        Raises:
            OSError: on rank 0, where the storage is full or cannot be written.
        """
        ranks = self._gathered(state)
        if self._rank == 0:
            self._folder.save(state.step, {"shared": state.shared, "ranks": ranks})

    def newest(self) -> TrainingState | None:
        """The state to go on from; None where there is no checkpoint. Every rank calls it.

        Raises:
            IntegrityError: there are checkpoints, and every one is damaged.
        """
        step = self._agreed_step()
        if step < 0:
            return None
        state = self._folder.load(step)
        ranks = state["ranks"]
        if len(ranks) != self._world_size:
            ranks = _spread(ranks, self._world_size)
        own = ranks[self._rank]
        return TrainingState(
            step=step, shared=state["shared"], addends=own["addends"], random=own["random"]
        )

    def _agreed_step(self) -> int:
        """Step of the newest valid checkpoint as rank 0 found it; -1 where there is none."""
        step = -1
        if self._rank == 0:
            newest = self._folder.newest_valid()
            step = newest.step if newest else -1
        if self._world_size == 1:
            return step
        message = torch.tensor([step], device=self._device)
        dist.broadcast(message, src=0)
        return int(message)

    def _gathered(self, state: TrainingState) -> list[dict[str, Any]]:
        """Every rank's addends and random states on rank 0, in the order of the ranks."""
        num_addends = len(state.addends)
        tensors = [*state.addends, *state.random.values()]
        return [
            {
                "addends": rank[:num_addends],
                "random": dict(zip(state.random, rank[num_addends:], strict=True)),
            }
            for rank in self._gathered_tensors(tensors)
        ]

    def _gathered_tensors(self, own: list[Tensor]) -> list[list[Tensor]]:
        """Every rank's vectors on rank 0, on the CPU; elsewhere nothing."""
        if self._world_size == 1:
            return [[tensor.cpu() for tensor in own]]
        # One message of doubles: they hold float32 and bytes exactly, and need no pickle.
        flat = torch.cat([tensor.to(self._device, torch.float64) for tensor in own])
        flats = [torch.empty_like(flat) for _ in range(self._world_size * (self._rank == 0))]
        dist.gather(flat, flats or None)
        lengths = [len(tensor) for tensor in own]
        return [
            [part.to("cpu", like.dtype, copy=True) for part, like in zip(parts, own, strict=True)]
            for parts in (torch.split(flat, lengths) for flat in flats)
        ]


def _spread(ranks: list[dict[str, Any]], world_size: int) -> list[dict[str, Any]]:
    """The same sums over another number of ranks."""
    addends = zip(*(rank["addends"] for rank in ranks), strict=True)
    sums = [torch.stack(same).sum(0) for same in addends]
    nothing = [torch.zeros_like(addend) for addend in sums]
    return [
        {
            "addends": nothing if rank else sums,
            "random": ranks[rank]["random"] if rank < len(ranks) else {},
        }
        for rank in range(world_size)
    ]
