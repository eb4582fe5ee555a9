"""`select: best_holdout` against nets that are kept at each epoch's end and measured here."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_jobs import Journal, assert_same, final_weights, last_state, make_tiny_job, train
from torch import Tensor, nn

from resnet_cluster.data import load_manifest, split_holdout
from resnet_cluster.data.beton import read_index, read_squares
from resnet_cluster.nets import build_net
from resnet_cluster.spec import JobSpec
from resnet_cluster.training import pulse

STEPS_PER_EPOCH, NUM_EPOCHS = 6, 4


def make_spoilt_job(ema: dict[str, Any] | None) -> JobSpec:
    """A job whose rate rises until it undoes what was learnt: its last epoch is not its best."""
    return make_tiny_job(
        {
            "data.holdout": 80,
            "train.global_batch_size": 20,
            "train.bn_group": 10,
            "train.iterations": STEPS_PER_EPOCH * NUM_EPOCHS,
            "train.lr": 0.02,
            "train.schedule": {"kind": "linear", "final_lr": 30.0},
            "train.ema": ema,
            "evaluate.select": "best_holdout",
        }
    )


def kept_net(run_dir: Path, job: JobSpec) -> nn.Module:
    """The net of the newest checkpoint, or its average, built from the numbers in the file."""
    net = build_net(family="cifar", depth=job.model.depth, shortcut="A", num_classes=10)
    state = last_state(run_dir)
    net.load_state_dict(state["shared"]["net"])
    if job.train.ema:
        for parameter, average in zip(net.parameters(), state["shared"]["ema"], strict=True):
            parameter.data = average
        names = [name for name in net.state_dict() if "running" in name]
        averages = state["ranks"][0]["addends"][-len(names) :]
        net.load_state_dict(dict(zip(names, averages, strict=True)), strict=False)
    return net.eval()


def percent_wrong(net: nn.Module, dataset: Path, split: str, ids: NDArray[np.int64]) -> float:
    """Top-1 error, by the pixels in the file and their mean over the images trained on."""
    squares = read_squares(dataset / "train.beton")
    train_ids, _ = split_holdout(squares.index.labels, 80, seed=0)
    mean = squares.read(train_ids).astype(np.float64).mean(axis=0)
    tested = read_squares(dataset / f"{split}.beton")
    images = Tensor(tested.read(ids).astype(np.float64) - mean).permute(0, 3, 1, 2)
    with torch.no_grad():
        predicted = net(images.contiguous()).argmax(1).numpy()
    return float(100.0 * np.mean(predicted != tested.index.labels[ids]))


@pytest.mark.parametrize("ema", [None, {"decay": 0.6}], ids=["weights", "average"])
def test_best_epoch_by_the_holdout_is_measured(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: dict[str, Any] | None
) -> None:
    job = make_spoilt_job(ema)
    manifest = load_manifest(str(few_digits))
    labels = read_index(manifest.beton("train")).labels
    _, holdout_ids = split_holdout(labels, 80, seed=0)
    test_ids = np.arange(manifest.test.num_images)

    errors: list[float] = []
    nets: list[nn.Module] = []
    journals: list[Journal] = []
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN", 0.0)
    for _ in range(NUM_EPOCHS):  # stopped at each epoch's end, the run goes on from there
        asked = itertools.count(1)
        _, journal = train(
            job,
            few_digits,
            tmp_path,
            stop_requested=lambda asked=asked: next(asked) >= STEPS_PER_EPOCH,  # type: ignore[misc]
        )
        journals.append(journal)
        nets.append(kept_net(tmp_path, job))
        errors.append(percent_wrong(nets[-1], few_digits, "train", holdout_ids))

    reported = [journal.epochs[0].holdout for journal in journals]
    assert [score.top1_err for score in reported if score] == pytest.approx(errors)
    best = int(np.argmin(errors))
    assert best < NUM_EPOCHS - 1, f"the last epoch was not spoilt: {errors}"
    assert_same(final_weights(tmp_path), dict(nets[best].state_dict()))
    final = journals[-1].finals[0]
    assert final.select == "best_holdout"
    assert final.ema == (ema is not None)
    assert final.step == (best + 1) * STEPS_PER_EPOCH
    assert final.score.num_images == 70
    expected = percent_wrong(nets[best], few_digits, "test", test_ids)
    assert final.score.top1_err == pytest.approx(expected)


def test_first_of_equal_epochs_is_kept(few_digits: Path, tmp_path: Path) -> None:
    """At a rate that moves nothing, all epochs have one error."""
    job = make_tiny_job(
        {
            "data.holdout": 80,
            "train.global_batch_size": 20,
            "train.bn_group": 10,
            "train.lr": 1e-30,
            "train.iterations": STEPS_PER_EPOCH * 2,
            "train.ema": {"decay": 0.99999},
            "evaluate.select": "best_holdout",
        }
    )
    _, journal = train(job, few_digits, tmp_path)
    errors = [epoch.holdout.top1_err for epoch in journal.epochs if epoch.holdout]
    assert errors[0] == errors[1]
    assert journal.finals[0].step == STEPS_PER_EPOCH
