"""Several networks together: the scores that were kept of each are averaged (section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from resnet_cluster.evaluation.predictions import Predictions, Scores, in_rows
from resnet_cluster.evaluation.score import Score, Tally, totals_of
from resnet_cluster.spec import Average

_BLOCK_BYTES = 64 << 20
"""Of one network's log-probabilities at a time."""


@dataclass(frozen=True, kw_only=True)
class EnsembleScore:
    """What several networks come to.

    Attributes:
        score: of the averaged scores.
        num_moved: images on which a network's kept scores judge otherwise than it did itself, in
            the sum over the networks: rounding is to blame. Zero says that no figure moved.
    """

    score: Score
    num_moved: int


@torch.inference_mode()
def evaluate_ensemble(
    members: Sequence[Predictions],
    average: Average,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EnsembleScore:
    """Errors of the mean over networks of each one's mean over views.

    Args:
        members: at least one, on the same images and classes; their views may differ in number.
        average: what is averaged: `softmax` or `logits`.
        on_progress: called with the images done, and all.
    """
    first = members[0].contents
    num_images, num_classes = first.num_images, first.num_classes
    assert {(m.contents.num_images, m.contents.num_classes) for m in members} == {
        (num_images, num_classes)
    }
    tally, num_moved = Tally(torch.device("cpu")), 0
    most_views = max(member.contents.num_views for member in members)
    num_rows = max(1, _BLOCK_BYTES // (4 * num_classes * most_views))
    for start, end in in_rows(num_images, num_rows):
        blocks = [member.scores(start, end) for member in members]
        labels = blocks[0].labels
        assert all(torch.equal(labels, block.labels) for block in blocks)
        means = [mean_of(block.log_probs, 1, average) for block in blocks]
        num_moved += sum(_num_moved(mean, block) for mean, block in zip(means, blocks, strict=True))
        logits = mean_of(torch.stack(means), 0, average)
        tally.add(logits, labels, F.cross_entropy(logits, labels, reduction="sum"))
        on_progress(end, num_images)
    return EnsembleScore(score=totals_of(tally.sums).score(num_classes), num_moved=num_moved)


def mean_of(log_probs: Tensor, dim: int, average: Average) -> Tensor:
    """The mean, as logits: of probabilities the logarithm of theirs, where none comes out as 0."""
    if average == "logits":
        return log_probs.mean(dim=dim)
    return log_probs.logsumexp(dim=dim) - math.log(log_probs.shape[dim])


def _num_moved(mean: Tensor, block: Scores) -> int:
    best = mean.topk(block.hits.shape[1], dim=1).indices
    hits = best.eq(block.labels.unsqueeze(1))
    first = hits[:, 0] != block.hits[:, 0]
    any_ = hits.any(dim=1) != block.hits.any(dim=1)
    return int((first | any_).sum())
