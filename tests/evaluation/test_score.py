"""Counts of errors, and the figures they come to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from resnet_cluster.evaluation import Score, Tally, Totals, totals_of

CPU = torch.device("cpu")


@given(
    num_classes=st.integers(2, 12),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_sums_over_batches_are_scikit_learns_over_all(
    num_classes: int, sizes: list[int], seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), num_classes, generator=draw)
    labels = torch.randint(0, num_classes, (sum(sizes),), generator=draw)
    losses = torch.rand(sum(sizes), generator=draw)
    tally = Tally(CPU)
    for parts in zip(
        *(torch.split(whole, sizes) for whole in (logits, labels, losses)), strict=True
    ):
        tally.add(parts[0], parts[1], parts[2].sum())

    totals = totals_of(tally.sums)
    right1 = accuracy_score(labels, logits.argmax(1), normalize=False)
    right5 = len(labels)
    if num_classes > 5:
        right5 = top_k_accuracy_score(
            labels, logits, k=5, labels=np.arange(num_classes), normalize=False
        )
    assert totals.wrong1 == len(labels) - right1
    assert totals.wrong5 == len(labels) - right5
    assert totals.num_images == len(labels)
    assert totals.loss == pytest.approx(float(losses.double().sum()), rel=1e-5)


def test_score_of_a_published_figure() -> None:
    """643 of CIFAR-10's 10,000 test images wrong is Table 6's 6.43 %."""
    totals = Totals(loss=2500.0, wrong1=643.0, wrong5=12.0, num_images=10_000.0)
    assert totals.score(10) == Score(loss=0.25, top1_err=6.43, top5_err=0.12, num_images=10_000)
    assert totals.score(6).top5_err == 0.12
    assert totals.score(5).top5_err is None


def test_loss_that_is_not_finite_stays_so() -> None:
    tally = Tally(CPU)
    logits, labels = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    tally.add(logits, labels, torch.tensor(float("inf")))
    tally.add(logits, labels, torch.tensor(1.0))
    assert totals_of(tally.sums).loss == float("inf")


def test_millions_of_images_are_counted_exactly() -> None:
    """ImageNet's 1.28 million, many epochs over: float32 would stop counting at 16.8 million."""
    tally = Tally(CPU)
    tally.sums += torch.tensor([0.0, 0.0, 0.0, 2.0**30])
    tally.add(torch.zeros(1, 3), torch.tensor([2]), torch.tensor(1e-3))
    totals = totals_of(tally.sums)
    assert totals.num_images == 2**30 + 1
    assert totals.loss == pytest.approx(1e-3)
