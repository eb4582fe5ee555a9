"""Greedy selection of an ensemble, beside an exhaustive one in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resnet_cluster.evaluation import (
    Contents,
    Predictions,
    PredictionsWriter,
    seal_predictions,
    select_ensemble,
)
from resnet_cluster.evaluation.selection import _selecting_half

NUM_IMAGES, NUM_CLASSES = 601, 7


def keep(folder: Path, logits: torch.Tensor, labels: torch.Tensor) -> Predictions:
    """Kept predictions of one view."""
    writer = PredictionsWriter(
        folder,
        "000-of-001.npy",
        np.arange(NUM_IMAGES),
        num_views=1,
        num_classes=NUM_CLASSES,
    )
    writer.add(logits, labels, np.arange(NUM_IMAGES))
    hits = logits.topk(5, dim=1).indices.eq(labels.unsqueeze(1))
    writer.settle(hits, np.arange(NUM_IMAGES))
    contents = Contents(
        protocol="single",
        split="test",
        select="final",
        step=1,
        dataset_sha256="0" * 64,
        num_images=NUM_IMAGES,
        num_views=1,
        num_classes=NUM_CLASSES,
    )
    file = writer.finish()
    seal_predictions(folder, contents.model_copy(update={"files": (file,)}))
    return Predictions(folder)


@pytest.fixture
def networks(tmp_path: Path) -> tuple[list[Predictions], NDArray[np.float64], NDArray[np.int64]]:
    """Six networks, the last two useless: kept, their log-probabilities, and the labels."""
    torch.manual_seed(0)
    labels = torch.randint(0, NUM_CLASSES, (NUM_IMAGES,))
    right = torch.nn.functional.one_hot(labels, NUM_CLASSES).float()
    logits = [
        (2.0 if number < 4 else 0.0) * right + 1.5 * torch.randn(NUM_IMAGES, NUM_CLASSES)
        for number in range(6)
    ]
    kept = [keep(tmp_path / str(number), each, labels) for number, each in enumerate(logits)]
    log_probs = torch.stack([each.log_softmax(1) for each in logits]).double().numpy()
    return kept, log_probs, labels.numpy()


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_each_step_takes_the_best_and_stops_where_none_helps(networks, average) -> None:  # type: ignore[no-untyped-def]
    kept, log_probs, labels = networks
    scores = np.exp(log_probs) if average == "softmax" else log_probs
    selects = _selecting_half(NUM_IMAGES).numpy()
    assert selects.sum() == NUM_IMAGES // 2

    def error(members: list[int], where: NDArray[np.bool_]) -> float:
        best = scores[members].mean(0)[where].argmax(1)
        return 100.0 * float(np.mean(best != labels[where]))

    chosen = select_ensemble(kept, average, most=6)
    members: list[int] = []
    for choice in chosen:
        others = [place for place in range(6) if place not in members]
        errors = [error([*members, place], selects) for place in others]
        assert choice.member == others[int(np.argmin(errors))]
        members.append(choice.member)
        assert choice.selecting_err == pytest.approx(min(errors), abs=1e-4)
        assert choice.judging.top1_err == pytest.approx(error(members, ~selects), abs=0.4)
        assert choice.judging.num_images == NUM_IMAGES - NUM_IMAGES // 2
    rest = [place for place in range(6) if place not in members]
    assert min(error([*members, place], selects) for place in rest) >= chosen[-1].selecting_err
    assert not {4, 5} & set(members)
    assert len(select_ensemble(kept, average, most=2)) == 2


def test_one_candidate_is_alone(networks) -> None:  # type: ignore[no-untyped-def]
    kept, _, _ = networks
    (only,) = select_ensemble(kept[:1], "softmax", most=6)
    assert only.member == 0
