"""Two paths to the same network, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_cluster.evaluation import compare_paths


class Means(nn.Module):
    """Scores that are the means of the channels: known for any image."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def _images(num: int, seed: int) -> Tensor:
    pixels = np.random.default_rng(seed).integers(0, 256, (num, 3, 4, 5), np.uint8)
    return torch.from_numpy(pixels)


def test_figures_are_numpys() -> None:
    ours, theirs = _images(70, 0), _images(70, 0)
    theirs[::3] = _images(24, 1)
    labels = torch.arange(70) % 3
    pairs = [(ours[:40], theirs[:40], labels[:40]), (ours[40:], theirs[40:], labels[40:])]
    found = compare_paths(Means(), pairs, Tensor.float, lambda images: images.float() / 2)

    one, other = ours.numpy().astype(float), theirs.numpy().astype(float)
    scores, reference = one.mean((2, 3)), other.mean((2, 3)) / 2
    assert found.num_images == 70
    assert found.pixel_difference == pytest.approx(np.abs(one - other).mean())
    assert found.logit_difference == pytest.approx(np.abs(scores - reference).mean(), rel=1e-5)
    assert found.max_logit_difference == pytest.approx(np.abs(scores - reference).max(), rel=1e-5)
    best, reference_best = scores.argmax(1), reference.argmax(1)
    assert found.agreement == pytest.approx(100 * (best == reference_best).mean())
    assert found.top1_err == pytest.approx(100 * (best != labels.numpy()).mean())
    assert found.reference_top1_err == pytest.approx(
        100 * (reference_best != labels.numpy()).mean()
    )
    assert found.agreement < 100
