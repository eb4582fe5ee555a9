"""Do two paths from an image to a network's scores lead to the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far a network's answers to our pixels are from those to a reference's."""

    num_images: int
    pixel_difference: float
    """Mean over all pixels, in grey levels of 255."""
    logit_difference: float
    """Mean over all images and classes."""
    max_logit_difference: float
    agreement: float
    """Percent of the images whose most likely class is the same."""
    top1_err: float
    """Percent wrong with our pixels."""
    reference_top1_err: float


@dataclass(kw_only=True)
class _Sums:
    images: int = 0
    pixels: list[float] = field(default_factory=list)
    """Mean difference of each image; likewise of its logits."""
    logits: list[float] = field(default_factory=list)
    largest: float = 0.0
    alike: int = 0
    wrong: int = 0
    reference_wrong: int = 0


Pair = tuple[Tensor, Tensor, Tensor]
"""Our images and the reference's, uint8 [b, 3, h, w] both, and labels, int64 [b]."""


@torch.inference_mode()
def compare_paths(
    net: nn.Module,
    pairs: Iterable[Pair],
    normalize: Callable[[Tensor], Tensor],
    reference_normalize: Callable[[Tensor], Tensor],
) -> Parity:
    """Show a network the same images as two paths bring them.

    Args:
        net: maps N x 3 x H x W floats to N x classes scores; put into evaluation mode here.
        pairs: batches of the same images; at least one.
        normalize: what our path makes of uint8 pixels.
        reference_normalize: what the reference makes of its own.
    """
    net.eval()
    sums = _Sums()
    for ours, theirs, labels in pairs:
        assert ours.shape == theirs.shape
        difference = (ours.to(torch.int16) - theirs.to(torch.int16)).abs().float()
        sums.pixels += difference.mean(dim=(1, 2, 3)).tolist()
        _add(sums, net(normalize(ours)), net(reference_normalize(theirs)), labels)
    return Parity(
        num_images=sums.images,
        pixel_difference=sum(sums.pixels) / sums.images,
        logit_difference=sum(sums.logits) / sums.images,
        max_logit_difference=sums.largest,
        agreement=100.0 * sums.alike / sums.images,
        top1_err=100.0 * sums.wrong / sums.images,
        reference_top1_err=100.0 * sums.reference_wrong / sums.images,
    )


def _add(sums: _Sums, logits: Tensor, reference: Tensor, labels: Tensor) -> None:
    apart = (logits - reference).abs()
    ours, theirs = logits.argmax(dim=1), reference.argmax(dim=1)
    sums.images += len(labels)
    sums.logits += apart.mean(dim=1).tolist()
    sums.largest = max(sums.largest, float(apart.max()))
    sums.alike += int((ours == theirs).sum())
    sums.wrong += int((ours != labels).sum())
    sums.reference_wrong += int((theirs != labels).sum())
