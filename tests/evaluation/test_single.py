"""The single-view protocol against scikit-learn's metrics, on one rank and on three."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import RankServer
from scored import NUM_IMAGES, batches, make_images, make_net, normalize
from sklearn.metrics import log_loss, top_k_accuracy_score

from resnet_cluster.evaluation import Score, evaluate_single


def expected_score(num_classes: int) -> dict[str, Any]:
    """What scikit-learn makes of the net's softmax over all images at once."""
    images, labels = make_images(num_classes)
    with torch.no_grad():
        scores = make_net(num_classes).eval()(normalize(images)).double().softmax(1).numpy()
    classes = np.arange(num_classes)

    def error(k: int) -> float:
        return 100.0 * (1.0 - float(top_k_accuracy_score(labels, scores, k=k, labels=classes)))

    return {
        "loss": pytest.approx(log_loss(labels, scores, labels=classes), rel=1e-5),
        "top1_err": pytest.approx(error(1)),
        "top5_err": pytest.approx(error(5)) if num_classes > 5 else None,
        "num_images": NUM_IMAGES,
    }


def evaluate_alone(num_classes: int, batch_size: int, *, num_images: int = NUM_IMAGES) -> Score:
    """The score on one rank."""
    return evaluate_single(
        make_net(num_classes),
        batches(num_classes, rank=0, world_size=1, batch_size=batch_size),
        normalize,
        num_images=num_images,
        num_classes=num_classes,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("num_classes", [3, 5, 6, 10, 100])
@pytest.mark.parametrize("batch_size", [1, 32, 500])
def test_score_is_scikit_learns(num_classes: int, batch_size: int) -> None:
    assert asdict(evaluate_alone(num_classes, batch_size)) == expected_score(num_classes)


@pytest.mark.parametrize("num_classes", [5, 10])
@pytest.mark.parametrize("world_size", [2, 3])
def test_every_rank_has_the_whole_score(
    server: RankServer, tmp_path: Path, world_size: int, num_classes: int
) -> None:
    server.run(
        "scored:evaluate", tmp_path, world_size=world_size, num_classes=num_classes, batch_size=8
    )
    for rank in range(world_size):
        score = json.loads((tmp_path / f"score-{rank}.json").read_text())
        assert score == expected_score(num_classes)


def test_image_that_is_not_seen_is_missed_by_every_rank(server: RankServer, tmp_path: Path) -> None:
    server.run("scored:evaluate", tmp_path, world_size=3, num_classes=10, batch_size=8, missing=1)
    for rank in range(3):
        content = json.loads((tmp_path / f"score-{rank}.json").read_text())
        assert content == {"complaint": f"{NUM_IMAGES - 8}.0 images seen of {NUM_IMAGES}"}


@pytest.mark.parametrize("num_images", [NUM_IMAGES - 1, NUM_IMAGES + 1])
def test_count_is_asserted(num_images: int) -> None:
    with pytest.raises(AssertionError, match="images seen of"):
        evaluate_alone(10, 32, num_images=num_images)


def test_net_is_measured_in_evaluation_mode_and_keeps_its_statistics() -> None:
    net = make_net(10).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    evaluate_single(
        net,
        batches(10, rank=0, world_size=1, batch_size=32),
        normalize,
        num_images=NUM_IMAGES,
        num_classes=10,
        device=torch.device("cpu"),
    )
    assert not net.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
