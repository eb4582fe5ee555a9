"""Optimiser steps on small images as CUDA graphs: one launch in place of hundreds.

A step of a CIFAR net is hundreds of kernels of some microseconds each, and Python takes longer to
launch them than a GPU to run them. A graph is captured once, and then launched as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from resnet_cluster.nets import ResNet
from resnet_cluster.spec import TrainSpec
from resnet_cluster.training.lanes import TURNS

WARM_UP = 3
"""Steps of each shape before the capture: cuDNN chooses its kernels in the first."""
MAX_SIDE = 64
"""Of images, in pixels: on larger ones the kernels take longer than their launches."""

MicroBatch = tuple[Tensor, ...]
"""What a pass reads, on the device: uint8 images first."""


class Launch(Protocol):
    """Takes an optimiser step, kernel by kernel."""

    def __call__(self, micro_batches: Sequence[MicroBatch], lr: float | Tensor) -> None:
        """Take a step on its micro-batches, waiting for no device."""


def can_be_captured(
    net: nn.Module, train: TrainSpec, device: torch.device, *, world_size: int
) -> bool:
    """Whether each step launches the same kernels, and none waits for another rank.

    A step in half precision skips its update where a gradient is infinite; a compiled one has few
    launches; a network of the user's may do anything.
    """
    is_plain = train.precision != "fp16" and not train.compile
    return device.type == "cuda" and world_size == 1 and is_plain and isinstance(net, ResNet)


@dataclass(frozen=True, kw_only=True)
class _Captured:
    """A graph, and where it reads."""

    graph: torch.cuda.CUDAGraph
    micro_batches: list[MicroBatch]
    lr: Tensor

    def replay(self, micro_batches: Sequence[MicroBatch], lr: float) -> None:
        for own, given in zip(self.micro_batches, micro_batches, strict=True):
            for place, tensor in zip(own, given, strict=True):
                place.copy_(tensor)
        self.lr.fill_(lr)
        self.graph.replay()


class GraphedSteps:
    """Steps that are launched kernel by kernel at first, and then as a graph for each shape.

    What a step reads and writes beside its arguments has to stay where it is in memory: parameters,
    momenta, running statistics, averages, sums.

    Args:
        launch: takes a step, kernel by kernel.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._num_seen: dict[torch.Size, int] = {}
        self._captured: dict[torch.Size, _Captured] = {}

    def __call__(self, micro_batches: Sequence[MicroBatch], lr: float) -> None:
        """Take a step; waits for no device, but where it captures."""
        shape = micro_batches[0][0].shape
        seen = self._num_seen[shape] = self._num_seen.get(shape, 0) + 1
        TURNS.give_way()
        if seen <= WARM_UP or max(shape[2:]) > MAX_SIDE:
            self._launch(micro_batches, lr)
            return
        captured = self._captured.get(shape)
        if captured is None:
            with TURNS.alone() as is_alone:
                if is_alone:
                    captured = self._captured[shape] = self._capture(micro_batches)
        if captured is None:
            self._launch(micro_batches, lr)
        else:
            captured.replay(micro_batches, lr)

    def _capture(self, micro_batches: Sequence[MicroBatch]) -> _Captured:
        """A graph of the step, which does not take it; no other thread computes meanwhile."""
        images = micro_batches[0][0]
        kept = _Captured(
            graph=torch.cuda.CUDAGraph(),
            micro_batches=[tuple(tensor.clone() for tensor in each) for each in micro_batches],
            lr=torch.zeros((), device=images.device),
        )
        with _capturing(kept.graph):
            self._launch(kept.micro_batches, kept.lr)
        return kept


def _capturing(graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
    """What is launched meanwhile is captured."""
    own = torch.cuda.current_stream()
    return torch.cuda.graph(
        graph,
        # cuBLAS has a workspace for each stream. Graphs that are captured on one and replayed at
        # the same time would write into the same.
        stream=None if own == torch.cuda.default_stream() else own,
        # Loaders' threads go on: only what this thread calls is watched.
        capture_error_mode="thread_local",
    )
