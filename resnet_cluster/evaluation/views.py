"""Several views of an image: 10-crop, and several scales. Their scores are averaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_cluster.evaluation.predictions import PredictionsWriter, in_rows
from resnet_cluster.evaluation.score import Score, Tally, totals_of
from resnet_cluster.spec import Average

_ROWS = 4096


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Views of some images.

    Attributes:
        images: float [b * k, 3, h, w], ready for the network: k views of each image, in order.
        labels: int64 [b].
        sample_ids: int64 [b], which images these are.
        first_view: number of the first of the k views among all of an image.
    """

    images: Tensor
    labels: Tensor
    sample_ids: NDArray[np.int64]
    first_view: int = 0


@torch.inference_mode()
def evaluate_views(
    net: nn.Module,
    batches: Iterable[ViewBatch],
    *,
    sample_ids: NDArray[np.int64],
    num_views: int,
    num_images: int,
    num_classes: int,
    device: torch.device,
    average: Average,
    writer: PredictionsWriter | None = None,
) -> Score:
    """Errors of a network over a split, of several views of each image.

    Every rank calls it with its own share of the images.

    Args:
        net: maps N x 3 x H x W floats to N x classes scores; put into evaluation mode here.
        batches: views of this rank's images; an image may come in several batches.
        sample_ids: int64, this rank's images.
        num_views: of each image, in all batches together: the count is checked against it.
        num_images: images of the whole split: the count is checked against it.
        num_classes: classes of the data set.
        device: where the network is.
        average: what is averaged over the views: `softmax` or `logits`.
        writer: keeps what the network says of each view.

    Returns:
        The same score on every rank; the loss is that of the averaged scores.
    """
    net.eval()
    sums = _Sums(sample_ids, num_classes)
    for batch in batches:
        scores = net(batch.images).float()
        sums.add(scores.softmax(dim=1) if average == "softmax" else scores, batch)
        if writer:
            writer.add(scores, batch.labels, batch.sample_ids, first_view=batch.first_view)
    tally = Tally(device)
    for logits, labels, ids in sums.averages(num_views, average, device):
        hits = tally.add(logits, labels, F.cross_entropy(logits, labels, reduction="sum"))
        if writer:
            writer.settle(hits, ids)
    if dist.is_initialized():
        dist.all_reduce(tally.sums)
    totals = totals_of(tally.sums)
    assert totals.num_images == num_images, f"{totals.num_images} images seen of {num_images}"
    return totals.score(num_classes)


class _Sums:
    """Scores of each image, summed over its views; on the CPU, where 50,000 of 1,000 find room."""

    def __init__(self, sample_ids: NDArray[np.int64], num_classes: int) -> None:
        self._ids = np.sort(sample_ids)
        self._scores = torch.zeros(len(sample_ids), num_classes)
        self._labels = torch.zeros(len(sample_ids), dtype=torch.int64)
        self._views = np.zeros(len(sample_ids), np.int64)

    def add(self, scores: Tensor, batch: ViewBatch) -> None:
        """Add the scores of a batch's views, float [b * k, classes]."""
        num_images = len(batch.labels)
        places = np.searchsorted(self._ids, batch.sample_ids)
        summed = scores.view(num_images, -1, scores.shape[1]).sum(dim=1).cpu()
        self._scores.index_add_(0, torch.from_numpy(places), summed)
        self._labels[places] = batch.labels.cpu()
        np.add.at(self._views, places, len(scores) // num_images)

    def averages(
        self, num_views: int, average: Average, device: torch.device
    ) -> Iterable[tuple[Tensor, Tensor, NDArray[np.int64]]]:
        """Averaged scores as logits, labels, and which images these are."""
        assert (self._views == num_views).all(), "an image was seen in more or fewer views"
        for start, end in in_rows(len(self._ids), _ROWS):
            mean = self._scores[start:end].to(device) / num_views
            labels = self._labels[start:end].to(device)
            # Where a probability came out as zero its logarithm would be infinite.
            logits = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
            yield logits if average == "softmax" else mean, labels, self._ids[start:end]


def padded_ten_crops(images: Tensor, pad: int) -> Tensor:
    """Corners and centre of small squares with zeros around them, then those of the mirror image.

    In torchvision's order: top left, top right, bottom left, bottom right, centre.

    Args:
        images: float [b, 3, side, side], already normalised, so that the zeros are the mean.
        pad: pixels of zeros on each side.

    Returns:
        Float [b * 10, 3, side, side], image after image.
    """
    side, room = images.shape[-1], 2 * pad
    padded = F.pad(images, (pad,) * 4)
    corners = ((0, 0), (0, room), (room, 0), (room, room), (pad, pad))
    upright = [padded[..., top : top + side, left : left + side] for top, left in corners]
    # The mirror image's top left is the mirror image of the top right.
    mirrored = [
        padded[..., top : top + side, room - left : room - left + side].flip(-1)
        for top, left in corners
    ]
    return torch.stack(upright + mirrored, dim=1).flatten(0, 1)
