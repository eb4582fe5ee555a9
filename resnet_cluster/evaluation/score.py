"""Counting errors: sums that add up over batches and ranks, and the figures they come to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOP5_NEEDS_CLASSES = 6
"""With five classes or fewer every prediction is among the five best."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean loss and percent errors over `num_images` images, as the paper publishes them."""

    loss: float
    top1_err: float
    top5_err: float | None
    num_images: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over images: of the loss, of wrong top-1 and top-5 predictions, and of images."""

    loss: float
    wrong1: float
    wrong5: float
    num_images: float

    def score(self, num_classes: int) -> Score:
        """The figures that the sums come to; there must be at least one image."""
        return Score(
            loss=self.loss / self.num_images,
            top1_err=100.0 * self.wrong1 / self.num_images,
            top5_err=(
                100.0 * self.wrong5 / self.num_images if num_classes >= TOP5_NEEDS_CLASSES else None
            ),
            num_images=int(self.num_images),
        )


class Tally:
    """Running sums on the device; adding a batch waits for nothing.

    The order of additions is the order of the batches, whenever the sums are read, so that reading
    them more or less often changes no figure.
    """

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(self, logits: Tensor, labels: Tensor, loss_sum: Tensor) -> Tensor:
        """Add a batch.

        Args:
            logits: scores, N x classes.
            labels: classes, N, int64.
            loss_sum: the loss summed over the batch, a scalar.

        Returns:
            Which of the five best scores is that of the class, bool N x 5; fewer where there are
            fewer classes.
        """
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits = best.eq(labels.unsqueeze(1))
        right = torch.stack((hits[:, 0].sum(), hits.sum()))
        self.sums[0] += loss_sum.detach()
        self.sums[1:3] += len(labels) - right
        self.sums[3] += len(labels)
        return hits


def totals_of(sums: Tensor) -> Totals:
    """The sums as numbers; waits for the device."""
    loss, wrong1, wrong5, num_images = sums.tolist()
    return Totals(loss=loss, wrong1=wrong1, wrong5=wrong5, num_images=num_images)
