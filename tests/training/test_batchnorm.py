"""Parts of running statistics, summed over ranks, against one process that sees all in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from resnet_cluster.data import rank_micro_batches
from resnet_cluster.training.batchnorm import BatchNormParts

CHANNELS, IMAGES = 2, 3


@dataclass
class Numpys:
    """Running statistics of a layer by the recurrence that torch documents."""

    momentum: float
    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    seen: int = 0

    def see(self, images: NDArray[np.float64]) -> None:
        axes, count = (0, 2, 3), images.size // CHANNELS
        self.seen += 1
        self.mean += self.momentum * (images.mean(axes) - self.mean)
        unbiased = images.var(axes) * count / (count - 1)
        self.var += self.momentum * (unbiased - self.var)


def make_layer(momentum: float, draw: np.random.Generator) -> nn.BatchNorm2d:
    """A layer of doubles whose statistics are not what they begin as."""
    layer = nn.BatchNorm2d(CHANNELS, momentum=momentum).double()
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean += torch.from_numpy(draw.normal(size=CHANNELS))
    layer.running_var += torch.from_numpy(draw.uniform(size=CHANNELS))
    return layer


@given(
    num_micro_batches=st.integers(1, 9),
    world_size=st.integers(1, 9),
    num_steps=st.integers(1, 4),
    momentum=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_sum_of_parts_is_the_whole(
    num_micro_batches: int, world_size: int, num_steps: int, momentum: float, seed: int
) -> None:
    world_size = min(world_size, num_micro_batches)
    draw = np.random.default_rng(seed)
    start = make_layer(momentum, draw).state_dict()
    images = draw.normal(1.0, 2.0, (num_steps, num_micro_batches, IMAGES, CHANNELS, 2, 2))

    reference = Numpys(
        momentum, start["running_mean"].numpy().copy(), start["running_var"].numpy().copy()
    )
    for place in range(num_steps * num_micro_batches):
        reference.see(images[divmod(place, num_micro_batches)])

    sums = [torch.zeros(CHANNELS).double(), torch.zeros(CHANNELS).double()]
    for rank in range(world_size):
        layer = make_layer(momentum, draw)
        layer.load_state_dict(start)
        places = rank_micro_batches(
            global_batch_size=num_micro_batches,
            bn_group=1,
            world_rank=rank,
            world_size=world_size,
        )
        parts = BatchNormParts(
            layer,
            world_rank=rank,
            world_size=world_size,
            micro_batches=places,
            num_micro_batches=num_micro_batches,
        )
        for step in range(num_steps):
            parts.before_step()
            for place in places:
                layer(torch.from_numpy(images[step, place]))
            parts.after_step()
        sums = [total + part for total, part in zip(sums, parts.parts, strict=True)]
        assert int(layer.num_batches_tracked) == reference.seen  # type: ignore[arg-type]
    np.testing.assert_allclose(sums[0], reference.mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums[1], reference.var, rtol=1e-10, atol=1e-12)
