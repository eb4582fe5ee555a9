"""Which of several networks are best together: greedy forward selection (Caruana et al. 2004).

The network that lowers the error most joins, until none lowers it. Whoever selects by errors fits
to the images that they were counted on, so one half of the images selects and the other judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from resnet_cluster.evaluation.ensemble import mean_of
from resnet_cluster.evaluation.predictions import Predictions, in_rows
from resnet_cluster.evaluation.score import Score, Tally, totals_of
from resnet_cluster.spec import Average

_SEED = 0
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A network that joined the ensemble.

    Attributes:
        member: its place among the candidates.
        selecting_err: top-1 error in percent of the ensemble with it, on the half that selected.
        judging: errors of the ensemble with it, on the other half.
    """

    member: int
    selecting_err: float
    judging: Score


@torch.inference_mode()
def select_ensemble(
    candidates: Sequence[Predictions],
    average: Average,
    *,
    most: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Choice, ...]:
    """The networks that join, in order; the first is the best alone.

    Args:
        candidates: at least one, on the same images and classes.
        average: what is averaged over views and networks: `softmax` or `logits`.
        most: networks at most.
        on_progress: called with the networks read, and all.
    """
    means, labels = [], torch.empty(0)
    for number, candidate in enumerate(candidates, start=1):
        own, labels = _mean_scores(candidate, average)
        means.append(own)
        on_progress(number, len(candidates))
    selects = _selecting_half(len(labels))
    total = torch.zeros_like(means[0][selects])
    chosen: list[Choice] = []
    for _ in range(min(most, len(candidates))):
        members = [choice.member for choice in chosen]
        err, member = min(
            (_top1_err(total + _addend(mean[selects], average), labels[selects]), place)
            for place, mean in enumerate(means)
            if place not in members
        )
        if chosen and err >= chosen[-1].selecting_err:
            break
        total += _addend(means[member][selects], average)
        others = torch.stack([means[place][~selects] for place in (*members, member)])
        judging = _score(mean_of(others, 0, average), labels[~selects])
        chosen.append(Choice(member=member, selecting_err=err, judging=judging))
    return tuple(chosen)


def _mean_scores(candidate: Predictions, average: Average) -> tuple[Tensor, Tensor]:
    """Means over views, as logits, float32 [images, classes], and the labels."""
    blocks = [
        candidate.scores(start, end)
        for start, end in in_rows(candidate.contents.num_images, _BLOCK)
    ]
    means = [mean_of(block.log_probs, 1, average) for block in blocks]
    return torch.cat(means), torch.cat([block.labels for block in blocks])


def _addend(mean: Tensor, average: Average) -> Tensor:
    """What a network adds to the sum that is averaged."""
    return mean if average == "logits" else mean.exp()


def _top1_err(scores: Tensor, labels: Tensor) -> float:
    return 100.0 * float((scores.argmax(dim=1) != labels).float().mean())


def _selecting_half(num_images: int) -> Tensor:
    """Which images select, bool [images]: the same half whatever the candidates."""
    selects = torch.zeros(num_images, dtype=torch.bool)
    order = np.random.default_rng(_SEED).permutation(num_images)
    selects[torch.from_numpy(order[: num_images // 2])] = True
    return selects


def _score(logits: Tensor, labels: Tensor) -> Score:
    tally = Tally(logits.device)
    tally.add(logits, labels, F.cross_entropy(logits, labels, reduction="sum"))
    return totals_of(tally.sums).score(logits.shape[1])
