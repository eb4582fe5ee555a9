"""What a network draws while it trains: the same on any number of workers."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from resnet_cluster.nets import ResNet


class Noise:
    """Seeds torch's generators before each micro-batch, by its place in the training.

    Dropout and its like draw from the generator of the device that they run on: the same numbers on
    one kind of device. The paper's networks draw nothing, and are left alone.

    Args:
        net: the network.
        seed: of the training.
    """

    def __init__(self, net: nn.Module, seed: int) -> None:
        self._seed = None if isinstance(net, ResNet) else seed

    def begin(self, step: int, micro_batch: int) -> None:
        """Before a micro-batch: its place among those of its step, and the step's number."""
        if self._seed is not None:
            drawn = np.random.SeedSequence((self._seed, step, micro_batch))
            torch.manual_seed(int(drawn.generate_state(1, np.uint64)[0]))
