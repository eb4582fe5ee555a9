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
from resnet_cluster.evaluation import Score, ViewBatch, evaluate_single, evaluate_views
from resnet_cluster.spec import Average

NUM_IMAGES = 101
"""A prime: no number of ranks and no batch size divides it."""


def make_images(num_classes: int) -> tuple[Tensor, Tensor]:
    """uint8 images and their classes."""
    draw = torch.Generator().manual_seed(num_classes)
    images = torch.randint(0, 256, (NUM_IMAGES, 3, 4, 4), generator=draw, dtype=torch.uint8)
    return images, torch.randint(0, num_classes, (NUM_IMAGES,), generator=draw)


NUM_VIEWS = 4


def make_views(num_classes: int) -> tuple[Tensor, Tensor]:
    """Views of each image, floats [n, views, 3, 4, 4], and the images' classes."""
    images, labels = make_images(num_classes)
    return torch.stack([normalize(images).roll(view, 3) for view in range(NUM_VIEWS)], 1), labels


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


def evaluate_many(
    num_classes: int,
    *,
    average: Average,
    together: bool,
    rank: int = 0,
    world_size: int = 1,
    extra: int = 0,
) -> Score:
    """The score over all views.

    Args:
        together: whether an image's views come in one batch, or one view of all images after
            the other.
        extra: views more, or less, that the first batch of images has.
    """
    views, labels = make_views(num_classes)
    own = np.arange(rank, NUM_IMAGES, world_size)

    def batches() -> Iterator[ViewBatch]:
        if together:
            for ids in np.array_split(own, 7):
                yield ViewBatch(views[ids].flatten(0, 1), labels[ids], ids)
            return
        for view in range(NUM_VIEWS):
            for number, ids in enumerate(np.array_split(own[::-1].copy(), 5)):
                times = 1 + extra if view == number == 0 else 1
                for _ in range(times):
                    yield ViewBatch(views[ids, view], labels[ids], ids)

    return evaluate_views(
        make_net(num_classes),
        batches(),
        sample_ids=own,
        num_views=NUM_VIEWS,
        num_images=NUM_IMAGES,
        num_classes=num_classes,
        device=torch.device("cpu"),
        average=average,
    )


def evaluate_many_on(rank: int, world_size: int, folder: Path, *, num_classes: int) -> None:
    """The same on one of several ranks; the score is written down."""
    score = evaluate_many(
        num_classes, average="softmax", together=False, rank=rank, world_size=world_size
    )
    (folder / f"score-{rank}.json").write_text(json.dumps(asdict(score)))
