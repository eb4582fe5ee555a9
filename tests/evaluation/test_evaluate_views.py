"""Several views against torchvision's crops and numpy's averages, on one rank and on three."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import RankServer
from scored import NUM_IMAGES, NUM_VIEWS, evaluate_many, make_net, make_views
from sklearn.metrics import log_loss, top_k_accuracy_score
from torchvision.transforms import functional

from resnet_cluster.evaluation import padded_ten_crops


def expected(num_classes: int, average: str) -> dict[str, Any]:
    """What numpy and scikit-learn make of all views at once."""
    views, labels = make_views(num_classes)
    with torch.no_grad():
        logits = make_net(num_classes).eval()(views.flatten(0, 1)).double().numpy()
    logits = logits.reshape(NUM_IMAGES, NUM_VIEWS, num_classes)
    if average == "softmax":
        odds = np.exp(logits - logits.max(2, keepdims=True))
        scores = (odds / odds.sum(2, keepdims=True)).mean(1)
    else:
        odds = np.exp(logits.mean(1))
        scores = odds / odds.sum(1, keepdims=True)
    classes = np.arange(num_classes)

    def error(k: int) -> float:
        right = top_k_accuracy_score(labels, scores, k=k, labels=classes)
        return 100.0 * (1.0 - float(right))

    return {
        "loss": pytest.approx(log_loss(labels, scores, labels=classes), rel=1e-5),
        "top1_err": pytest.approx(error(1)),
        "top5_err": pytest.approx(error(5)) if num_classes > 5 else None,
        "num_images": NUM_IMAGES,
    }


@pytest.mark.parametrize("num_classes", [3, 10])
@pytest.mark.parametrize("average", ["softmax", "logits"])
@pytest.mark.parametrize("together", [True, False])
def test_score_is_that_of_the_averages(num_classes: int, average: Any, together: bool) -> None:
    found = evaluate_many(num_classes, average=average, together=together)
    assert asdict(found) == expected(num_classes, average)


def test_the_averages_differ() -> None:
    assert expected(10, "softmax") != expected(10, "logits")


@pytest.mark.parametrize("world_size", [3])
def test_every_rank_has_the_whole_score(
    server: RankServer, tmp_path: Path, world_size: int
) -> None:
    server.run("scored:evaluate_many_on", tmp_path, world_size=world_size, num_classes=10)
    for rank in range(world_size):
        score = json.loads((tmp_path / f"score-{rank}.json").read_text())
        assert score == expected(10, "softmax")


def test_a_view_that_is_missing_or_seen_twice_is_noticed() -> None:
    for dropped in (1, -1):
        with pytest.raises(AssertionError, match="more or fewer views"):
            evaluate_many(10, average="softmax", together=False, extra=dropped)


@pytest.mark.parametrize("side", [8, 32])
def test_ten_crops_of_small_squares_are_torchvisions(side: int) -> None:
    images = torch.randn(5, 3, side, side)
    ours = padded_ten_crops(images, 4).view(5, 10, 3, side, side)
    for image, ten in zip(images, ours, strict=True):
        theirs = functional.ten_crop(functional.pad(image, [4] * 4), [side, side])
        for one, other in zip(ten, theirs, strict=True):
            assert torch.equal(one, other)
