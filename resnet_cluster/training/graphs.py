"""Optimiser steps on small images as CUDA graphs: one launch in place of hundreds.

A step of a CIFAR net is hundreds of kernels of some microseconds each, and Python takes longer to
launch them than a GPU to run them. A graph is captured once, and then launched as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
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

    def __call__(self, micro_batches: Iterable[MicroBatch], lr: Tensor) -> None:
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

    def replay(self, micro_batches: Sequence[MicroBatch]) -> None:
        for own, given in zip(self.micro_batches, micro_batches, strict=True):
            for place, tensor in zip(own, given, strict=True):
                place.copy_(tensor)
        self.graph.replay()


class GraphedSteps:
    """Steps that are launched kernel by kernel at first, and then as a graph for each shape.

    What a step reads and writes beside its arguments has to stay where it is in memory: parameters,
    momenta, running statistics, averages, sums.

    Args:
        launch: takes a step, kernel by kernel.
        device: where it does.
    """

    def __init__(self, launch: Launch, device: torch.device) -> None:
        self._launch = launch
        self._lr = torch.zeros((), device=device)
        self._num_seen: dict[torch.Size, int] = {}
        self._captured: dict[torch.Size, _Captured] = {}

    def rate(self, lr: float) -> Tensor:
        """The learning rate of the next step, where a graph reads it; float32."""
        return self._lr.fill_(lr)

    def __call__(self, micro_batches: Iterable[MicroBatch]) -> None:
        """Take a step at `rate`; waits for no device, but where it captures."""
        TURNS.give_way()
        rest = iter(micro_batches)
        loaded = [next(rest)]
        shape = loaded[0][0].shape
        seen = self._num_seen[shape] = self._num_seen.get(shape, 0) + 1
        if seen <= WARM_UP or max(shape[2:]) > MAX_SIDE:  # large ones are loaded one by one
            self._launch(itertools.chain(loaded, rest), self._lr)
            return
        loaded += rest
        captured = self._captured.get(shape) or self._capture(shape, loaded)
        if captured is None:
            self._launch(loaded, self._lr)
        else:
            captured.replay(loaded)

    def _capture(self, shape: torch.Size, micro_batches: Sequence[MicroBatch]) -> _Captured | None:
        """A graph of the step, which does not take it; none where other threads are too busy."""
        kept = _Captured(
            graph=torch.cuda.CUDAGraph(),
            micro_batches=[tuple(tensor.clone() for tensor in each) for each in micro_batches],
        )
        with TURNS.alone() as is_alone:
            if not is_alone:
                return None
            with _capturing(kept.graph):
                self._launch(kept.micro_batches, self._lr)
        self._captured[shape] = kept
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
