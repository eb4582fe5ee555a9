"""The losses of a small job, pinned: they move only with TRAINING_SEMANTICS.

`golden.json` holds the first losses of a job that uses most of what a recipe can say. They are
equal on every CPU to well below the tolerance (the instruction set changes the last bits of a
sum); what a job MEANS moves some of them by far more, as `test_another_meaning_is_noticed` shows.

Where a change of the code is meant to give other losses for the same job, add one to
`resnet_cluster.spec.key.TRAINING_SEMANTICS`, so that old and new runs have other keys, and write
the new figures with

    RESNET_CLUSTER_WRITE_GOLDEN=1 pytest tests/training/test_golden.py

Where no other meaning was meant, the change is a mistake; or a new torch draws other weights from
the same seed, which is another experiment as well.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_jobs import make_tiny_job, train
from torch import nn

from resnet_cluster.data import Batch, PadCropFlip
from resnet_cluster.spec.key import TRAINING_SEMANTICS
from resnet_cluster.training import pulse
from resnet_cluster.training.ema import Ema
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.rate import LearningRate

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-4
GOLDEN_JOB = {
    "seed": 3,
    "data.holdout": 40,  # 160 to train on: five steps an epoch
    "train.global_batch_size": 32,
    "train.bn_group": 8,
    "train.iterations": 6,
    "train.lr": 0.02,
    "train.schedule": {"kind": "cosine"},
    "train.warmup": {"kind": "linear", "length": 2, "start_lr": 0.005},
    "train.weight_decay": 0.05,
    "train.label_smoothing": 0.1,
    "train.ema": {"decay": 0.5},
    "evaluate.observe_every": 1,
}

Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop looks up after each step."""
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN", 0.0)


def measure_figures(dataset: Path, run_dir: Path, **changes: Any) -> dict[str, float]:
    """The epoch's mean loss after each step, and the losses of the averaged weights."""
    _, journal = train(make_tiny_job(GOLDEN_JOB | changes), dataset, run_dir)
    figures = {f"training, step {report.step}": report.loss for report in journal.progress}
    for epoch in journal.epochs:
        assert epoch.holdout is not None
        assert epoch.observed_test is not None
        figures[f"hold-out, epoch {epoch.epoch}"] = epoch.holdout.loss
        figures[f"test, epoch {epoch.epoch}"] = epoch.observed_test.loss
    return figures


def test_losses_are_those_of_the_semantics(few_digits: Path, tmp_path: Path) -> None:
    figures = measure_figures(few_digits, tmp_path)
    if os.environ.get("RESNET_CLUSTER_WRITE_GOLDEN"):
        content = {"training_semantics": TRAINING_SEMANTICS, "losses": figures}
        GOLDEN.write_text(json.dumps(content, indent=2) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert golden["training_semantics"] == TRAINING_SEMANTICS, "write golden.json anew: see above"
    assert figures == pytest.approx(golden["losses"], rel=TOLERANCE), (
        "the same job trains otherwise than it did: see the head of this file"
    )


def another_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(importlib.import_module("resnet_cluster.data.order"), "EPOCH_STREAM", 7)


def another_split(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(importlib.import_module("resnet_cluster.data.splits"), "HOLDOUT_STREAM", 7)


def another_augmentation(patch: pytest.MonkeyPatch) -> None:
    draw = PadCropFlip.draw
    patch.setattr(PadCropFlip, "draw", lambda self, ids, epoch: draw(self, ids, epoch + 1))


def micro_batches_backwards(patch: pytest.MonkeyPatch) -> None:
    step = Engine.step

    def backwards(self: Engine, batches: Iterable[Batch], **rest: Any) -> None:
        step(self, list(batches)[::-1], **rest)

    patch.setattr(Engine, "step", backwards)


def average_before_the_step(patch: pytest.MonkeyPatch) -> None:
    update, step = Ema.update, torch.optim.SGD.step
    averages: list[Ema] = []

    def remember(self: Ema) -> None:
        averages[:] = [self]

    def average_first(self: torch.optim.SGD, *rest: Any) -> None:
        for average in averages:
            update(average)
        step(self, *rest)

    patch.setattr(Ema, "update", remember)
    patch.setattr(torch.optim.SGD, "step", average_first)


def another_batchnorm_momentum(patch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("resnet_cluster.training.run")
    build = module.initialised_net

    def initialised_net(*args: Any) -> nn.Module:
        net: nn.Module = build(*args)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.11
        return net

    patch.setattr(module, "initialised_net", initialised_net)


def rate_a_step_early(patch: pytest.MonkeyPatch) -> None:
    at = LearningRate.at
    patch.setattr(LearningRate, "at", lambda self, step: at(self, step + 1))


@pytest.mark.parametrize(
    "change",
    [
        another_order,
        another_split,
        another_augmentation,
        micro_batches_backwards,
        average_before_the_step,
        another_batchnorm_momentum,
        rate_a_step_early,
        {"seed": 4},
        {"data.augment": {"pad": 1, "flip": False}},
        {"data.augment": {"pad": 2, "flip": True}},
        {"data.normalize": "channel_mean"},
        {"train.bn_group": 16},
        {"train.decay_bn_and_bias": False},
        {"train.momentum": 0.89},
        {"train.nesterov": True},
        {"train.label_smoothing": 0.11},
        {"train.ema": {"decay": 0.51}},
        {"train.schedule": {"kind": "linear"}},
        {"train.precision": "bf16"},
        {"model.shortcut": "B"},
    ],
    ids=lambda change: change.__name__ if callable(change) else next(iter(change)),
)
def test_another_meaning_is_noticed(
    few_digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Patch | dict[str, Any],
) -> None:
    """By a margin: some figure moves by twice the tolerance or more."""
    changes = change if isinstance(change, dict) else {}
    if not isinstance(change, dict):
        change(monkeypatch)
    figures = measure_figures(few_digits, tmp_path, **changes)
    golden = json.loads(GOLDEN.read_text())["losses"]
    assert list(figures) == list(golden)
    assert figures != pytest.approx(golden, rel=2 * TOLERANCE)
