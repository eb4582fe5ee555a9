"""The single-view protocol: each image once, as it is, without augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from resnet_cluster.data import Batch
from resnet_cluster.evaluation.predictions import PredictionsWriter
from resnet_cluster.evaluation.score import Score, Tally, totals_of


@torch.inference_mode()
def evaluate_single(
    net: nn.Module,
    batches: Iterable[Batch],
    normalize: Callable[[Tensor], Tensor],
    *,
    num_images: int,
    num_classes: int,
    device: torch.device,
    writer: PredictionsWriter | None = None,
) -> Score:
    """Errors of a network over a split; every rank calls it with its own share of the images.

    Args:
        net: maps N x 3 x H x W floats to N x classes scores; put into evaluation mode here.
        batches: this rank's images; over all ranks each image of the split once.
        normalize: uint8 images to the floats that the network was trained on.
        num_images: images of the whole split: the count is checked against it.
        num_classes: classes of the data set.
        device: where the network is.
        writer: keeps what the network says.

    Returns:
        The same score on every rank.
    """
    net.eval()
    tally = Tally(device)
    for batch in batches:
        logits = net(normalize(batch.images))
        loss = F.cross_entropy(logits, batch.labels, reduction="sum")
        hits = tally.add(logits, batch.labels, loss)
        if writer:
            writer.add(logits, batch.labels, batch.sample_ids)
            writer.settle(hits, batch.sample_ids)
    if dist.is_initialized():
        dist.all_reduce(tally.sums)
    totals = totals_of(tally.sums)
    assert totals.num_images == num_images, f"{totals.num_images} images seen of {num_images}"
    return totals.score(num_classes)
