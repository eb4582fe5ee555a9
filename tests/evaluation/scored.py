"""A net, a data set and a share of it for each rank, made of numbers alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from resnet_cluster.data import Batch
from resnet_cluster.evaluation import evaluate_single

NUM_IMAGES = 101
"""A prime: no number of ranks and no batch size divides it."""


def make_images(num_classes: int) -> tuple[Tensor, Tensor]:
    """uint8 images and their classes."""
    draw = torch.Generator().manual_seed(num_classes)
    images = torch.randint(0, 256, (NUM_IMAGES, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return images, torch.randint(0, num_classes, (NUM_IMAGES,), generator=draw)


def make_net(num_classes: int) -> nn.Module:
    """A net with a layer that behaves differently while training."""
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, num_classes))


def normalize(images: Tensor) -> Tensor:
    """Floats about zero."""
    return images.float() / 128.0 - 1.0


def batches(num_classes: int, *, rank: int, world_size: int, batch_size: int) -> Iterator[Batch]:
    """A rank's share, every `world_size`th image."""
    images, labels = make_images(num_classes)
    own = np.arange(rank, NUM_IMAGES, world_size)
    for at in range(0, len(own), batch_size):
        ids = own[at : at + batch_size]
        yield Batch(images[ids], labels[ids], ids)


def evaluate(
    rank: int,
    world_size: int,
    folder: Path,
    *,
    num_classes: int,
    batch_size: int,
    missing: int | None = None,
) -> None:
    """Evaluate on one of several ranks, and write the score or the complaint down.

    Args:
        missing: a rank that skips its first batch.
    """
    own = batches(num_classes, rank=rank, world_size=world_size, batch_size=batch_size)
    if rank == missing:
        next(own)
    try:
        score = evaluate_single(
            make_net(num_classes),
            own,
            normalize,
            num_images=NUM_IMAGES,
            num_classes=num_classes,
            device=torch.device("cpu"),
        )
        content = asdict(score)
    except AssertionError as error:
        content = {"complaint": str(error)}
    (folder / f"score-{rank}.json").write_text(json.dumps(content))
