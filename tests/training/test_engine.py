"""Optimiser steps of the engine against plain PyTorch ones, micro-batch by micro-batch."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from factories import make_job
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnet_cluster.data import Batch, Normalize, PadCropFlip
from resnet_cluster.nets import build_net
from resnet_cluster.spec import TrainSpec
from resnet_cluster.training.engine import Engine
from resnet_cluster.training.pixels import Pixels

NUM_CLASSES = 10
GROUP, NUM_GROUPS, NUM_STEPS = 8, 3, 4
MEAN = np.array([120.0, 110.0, 100.0])
STD = np.array([60.0, 61.0, 62.0])
LRS = (0.1, 0.05, 0.05, 0.2)


def make_train(**changes: Any) -> TrainSpec:
    """A recipe of three micro-batches of eight."""
    sizes = {"global_batch_size": GROUP * NUM_GROUPS, "bn_group": GROUP}
    return make_job({f"train.{key}": value for key, value in (sizes | changes).items()}).train


def make_net(train: TrainSpec) -> nn.Module:
    """The 8-layer net, with parameters of one dimension away from where they are initialised."""
    torch.manual_seed(0)
    net = build_net(family="cifar", depth=8, shortcut="B", num_classes=NUM_CLASSES)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    return net.to(memory_format=layout)


def make_batches() -> list[list[Batch]]:
    """The micro-batches of each step."""
    draw = np.random.default_rng(0)

    def batch() -> Batch:
        pixels = draw.integers(0, 256, (GROUP, 16, 16, 3), np.uint8)
        labels = torch.from_numpy(draw.integers(0, NUM_CLASSES, GROUP))
        return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels, np.arange(GROUP))

    return [[batch() for _ in range(NUM_GROUPS)] for _ in range(NUM_STEPS)]


def run_engine(train: TrainSpec) -> Engine:
    """The engine after four steps."""
    normalize = Normalize(MEAN, STD, channels_last=train.channels_last)
    pixels = Pixels(
        normalize=normalize,
        normalize_any=normalize,
        augment=PadCropFlip(0, False, 0),
    )
    places = range(NUM_GROUPS)
    engine = Engine(
        make_net(train), train, pixels, world_rank=0, world_size=1, micro_batches=places
    )
    for batches, lr in zip(make_batches(), LRS, strict=True):
        engine.step(batches, epoch=0, lr=lr)
    return engine


@dataclass
class PlainRun:
    """Four steps as a textbook writes them: not fused, not foreach, nothing of ours."""

    train: TrainSpec
    net: nn.Module
    average: AveragedModel | None = None
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        train = self.train
        named = dict(self.net.named_parameters())
        is_norm_or_bias = {
            name for name in named if "bn" in name or "downsample.1" in name or "bias" in name
        }
        spared = set() if train.decay_bn_and_bias else is_norm_or_bias
        groups: list[dict[str, Any]] = [
            {"params": [named[name] for name in named if name not in spared]},
            {"params": [named[name] for name in spared], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.SGD(
            groups,
            lr=1.0,
            momentum=train.momentum,
            nesterov=train.nesterov,
            weight_decay=train.weight_decay,
            foreach=False,
        )
        self.scaler = torch.amp.GradScaler("cpu", enabled=train.precision == "fp16")
        if train.ema:
            move = get_ema_multi_avg_fn(train.ema.decay)  # type: ignore[no-untyped-call]
            average = AveragedModel(self.net, multi_avg_fn=move, use_buffers=True)
            # Torch would begin the average with the weights after the first step; ours begins
            # with the initial ones, as the copy in `average` does once it counts as an average.
            average.n_averaged.fill_(1)
            self.average = average

    def step(self, batches: list[Batch], lr: float) -> None:
        self.optimizer.zero_grad()
        for batch in batches:
            with self._precision():
                logits = self.net(_normalized(batch.images, self.train)).float()
            loss = _smoothed_loss(logits, batch.labels, self.train.label_smoothing)
            self.losses.append(float(loss.detach().sum()))
            self.scaler.scale(loss.mean() / NUM_GROUPS).backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.net)

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.train.precision == "off":
            yield
        else:
            with torch.autocast("cpu", dtypes[self.train.precision]):
                yield


def _normalized(images: Tensor, train: TrainSpec) -> Tensor:
    mean, std = (torch.tensor(values).float().view(3, 1, 1) for values in (MEAN, STD))
    floats = (images.float() - mean) / std
    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    return floats.contiguous(memory_format=layout)


def _smoothed_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy with targets of (1 - s) on the class and s / C on every class."""
    targets = torch.full_like(logits, smoothing / NUM_CLASSES)
    targets[torch.arange(len(labels)), labels] += 1.0 - smoothing
    return -(targets * logits.log_softmax(1)).sum(1)


def run_plain(train: TrainSpec) -> PlainRun:
    """Four plain steps."""
    plain = PlainRun(train, make_net(train))
    for batches, lr in zip(make_batches(), LRS, strict=True):
        plain.step(batches, lr)
    return plain


def assert_close(ours: nn.Module, theirs: nn.Module, *, tolerance: float = 2e-6) -> None:
    """Parameters and running statistics agree, relative to the largest of each tensor."""
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        scale = max(1.0, float(expected[name].abs().max()))
        worst = float((tensor - expected[name]).abs().max()) / scale
        assert worst <= tolerance, f"{name}: {worst}"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as the paper"),
        pytest.param({"channels_last": False}, id="contiguous"),
        pytest.param({"decay_bn_and_bias": False, "weight_decay": 0.1}, id="spared"),
        pytest.param({"label_smoothing": 0.2}, id="smoothing"),
        pytest.param({"nesterov": True, "weight_decay": 0.1}, id="nesterov"),
        pytest.param({"precision": "bf16"}, id="bf16"),
        pytest.param({"precision": "fp16"}, id="fp16"),
    ],
)
def test_steps_are_plain_pytorchs(changes: dict[str, Any]) -> None:
    train = make_train(**{"precision": "off"} | changes)
    engine, plain = run_engine(train), run_plain(train)
    assert_close(engine.net, plain.net)
    sums = engine.tally.sums.tolist()
    assert sums[0] == pytest.approx(sum(plain.losses), rel=1e-5)
    assert sums[3] == GROUP * NUM_GROUPS * NUM_STEPS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"weight_decay": 0.1}, {"weight_decay": 0.1, "decay_bn_and_bias": False}),
        ({}, {"nesterov": True}),
        ({}, {"label_smoothing": 0.2}),
        ({}, {"precision": "bf16"}),
        ({}, {"precision": "fp16"}),
    ],
)
def test_each_choice_would_be_noticed(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The comparison above is finer than what it compares."""
    ours = run_engine(make_train(**{"precision": "off"} | one))
    theirs = run_plain(make_train(**{"precision": "off"} | other))
    with pytest.raises(AssertionError):
        assert_close(ours.net, theirs.net)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_average_is_torchs(decay: float) -> None:
    train = make_train(ema={"decay": decay})
    engine, plain = run_engine(train), run_plain(train)
    assert plain.average is not None
    measured = engine.measured_net()
    expected = plain.average.module.state_dict()
    for name, tensor in measured.state_dict().items():
        if "num_batches_tracked" not in name:
            torch.testing.assert_close(tensor, expected[name], rtol=2e-5, atol=2e-6)
    assert_close(engine.net, plain.net)


def test_measuring_a_net_leaves_the_training_alone() -> None:
    train = make_train(ema={"decay": 0.5})
    engine = run_engine(train)
    before = copy.deepcopy(engine.net.state_dict())
    measured = engine.measured_net()
    assert not measured.training
    assert engine.net.training
    counters = [value for name, value in measured.state_dict().items() if "batches" in name]
    assert all(int(counter) == NUM_STEPS * NUM_GROUPS for counter in counters)
    with torch.no_grad():
        for parameter in measured.parameters():
            parameter.zero_()
    for name, tensor in engine.net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_measured_net_follows_the_training() -> None:
    """The second look is at the weights of then, its counts of batches among them."""
    train = make_train()
    engine = run_engine(train)
    engine.measured_net()
    engine.step(make_batches()[0], epoch=0, lr=0.1)
    measured = engine.measured_net().state_dict()
    for name, tensor in engine.net.state_dict().items():
        assert torch.equal(tensor, measured[name]), name


def test_weights_that_are_not_finite_are_seen() -> None:
    engine = run_engine(make_train())
    assert engine.is_finite()
    with torch.no_grad():
        next(engine.net.parameters())[0, 0, 0, 0] = float("inf")
    assert not engine.is_finite()
