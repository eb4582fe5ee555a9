"""Learning rates against torch's schedulers, and against formulas in exact fractions."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from factories import make_job
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from resnet_cluster.spec.lengths import StepLengths, schedule_in_steps
from resnet_cluster.training.rate import LearningRate

LR = 0.1
NUM_STEPS = 40
STEPS_PER_EPOCH = 10
Scheduler = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def make_rate(schedule: dict[str, Any], warmup: dict[str, Any] | None = None) -> LearningRate:
    """The rate of a job of 40 steps, at 10 steps an epoch."""
    changes = {
        "train.iterations": NUM_STEPS,
        "train.lr": LR,
        "train.schedule": schedule,
        "train.warmup": warmup,
        "data.holdout": 5000,
    }
    train = make_job(changes).train
    return LearningRate(train, schedule_in_steps(train, STEPS_PER_EPOCH))


def torch_rates(build: Scheduler, num_steps: int = NUM_STEPS) -> list[float]:
    """What one of torch's schedulers gives each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR warns of its own calls
        scheduler = build(optimizer)
        rates = []
        for _ in range(num_steps):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return rates


def after_warmup(build: Scheduler, *, length: int, start_factor: float) -> Scheduler:
    """Torch's schedule that begins where torch's linear warm-up ends."""

    def build_both(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        warmup = lr_scheduler.LinearLR(optimizer, start_factor, 1.0, total_iters=length)
        return lr_scheduler.SequentialLR(optimizer, [warmup, build(optimizer)], [length])

    return build_both


@pytest.mark.parametrize(
    ("schedule", "build"),
    [
        pytest.param(
            {"kind": "step", "milestones": [12, 31], "gamma": 0.2},
            lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [12, 31], 0.2),
            id="step",
        ),
        pytest.param(
            {"kind": "cosine", "final_lr": 0.004},
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS, 0.004),
            id="cosine",
        ),
        pytest.param(
            {"kind": "linear", "final_lr": 0.02},
            lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.2, NUM_STEPS),
            id="linear",
        ),
        pytest.param(
            {"kind": "constant"},
            lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
            id="constant",
        ),
    ],
)
def test_schedules_are_torchs(schedule: dict[str, Any], build: Scheduler) -> None:
    rate = make_rate(schedule)
    ours = [rate.at(step) for step in range(NUM_STEPS)]
    assert ours == pytest.approx(torch_rates(build), rel=1e-12)


@pytest.mark.parametrize("length", [1, 7, 10])
def test_cosine_after_linear_warmup_is_torchs(length: int) -> None:
    rate = make_rate({"kind": "cosine"}, {"kind": "linear", "length": length, "start_lr": 0.01})
    expected = torch_rates(
        after_warmup(
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS - length),
            length=length,
            start_factor=0.1,
        )
    )
    assert [rate.at(step) for step in range(NUM_STEPS)] == pytest.approx(expected, rel=1e-9)


@given(
    length=st.integers(1, NUM_STEPS),
    start=st.fractions(0, 1, max_denominator=1000),
    final=st.fractions(0, 1, max_denominator=1000),
)
def test_linear_after_linear_warmup_by_its_formula(
    length: int, start: Fraction, final: Fraction
) -> None:
    rate = make_rate(
        {"kind": "linear", "final_lr": float(final)},
        {"kind": "linear", "length": length, "start_lr": float(start)},
    )
    peak = Fraction(1, 10)
    for step in range(NUM_STEPS):
        if step < length:
            expected = start + (peak - start) * step / length
        else:
            expected = peak + (final - peak) * Fraction(step - length, NUM_STEPS - length)
        assert rate.at(step) == pytest.approx(float(expected), rel=1e-9, abs=1e-15)


def test_lengths_in_epochs_are_steps() -> None:
    job = make_job(
        {
            "train.iterations": None,
            "train.epochs": 4.0,
            "train.schedule": {"kind": "step", "milestones": [2, 3.5]},
            "train.warmup": {"kind": "linear", "length": 0.5},
        }
    )
    rate = LearningRate(job.train, schedule_in_steps(job.train, STEPS_PER_EPOCH))
    rises = [LR * step / 5 for step in range(5)]
    expected = rises + [LR] * 15 + [LR / 10] * 15 + [LR / 100] * 5
    assert [rate.at(step) for step in range(40)] == pytest.approx(expected)


@given(
    errors=st.lists(st.floats(0, 100).map(lambda error: round(error, 1)), min_size=1, max_size=40),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.1, 5.0]),
)
def test_plateau_is_torchs(errors: list[float], patience: int, min_delta: float) -> None:
    """Torch waits for more bad epochs than its patience, so ours is one more."""
    schedule = {"kind": "plateau", "on": "train", "patience": patience, "min_delta": min_delta}
    rate = make_rate(schedule)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=LR)
    reference = lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=patience - 1, threshold=min_delta, threshold_mode="abs", eps=0.0
    )
    for error in errors:
        rate.observe_epoch(train_err=error, holdout_err=None)
        reference.step(error)
        assert rate.at(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_plateau_watches_the_error_it_is_told_to() -> None:
    on_train = make_rate({"kind": "plateau", "on": "train", "patience": 1})
    on_holdout = make_rate({"kind": "plateau", "on": "holdout", "patience": 1})
    for train_err, holdout_err in [(50.0, 50.0), (40.0, 60.0)]:
        on_train.observe_epoch(train_err=train_err, holdout_err=holdout_err)
        on_holdout.observe_epoch(train_err=train_err, holdout_err=holdout_err)
    assert on_train.at(20) == LR
    assert on_holdout.at(20) == pytest.approx(LR / 10)


def test_the_rate_cannot_be_told_a_test_error() -> None:
    """All that a rate hears of errors comes through these; see test_test_set for the whole loop."""
    heard = {
        name: set(inspect.signature(method).parameters) - {"self"}
        for name, method in inspect.getmembers(LearningRate, inspect.isfunction)
        if name.startswith("observe")
    }
    assert heard == {
        "observe_epoch": {"train_err", "holdout_err"},
        "observe_window": {"train_err"},
    }


def test_error_warmup_is_the_papers_rule() -> None:
    warmup = {"kind": "until_train_error", "lr": 0.01, "below": 80.0, "window": 5}
    rate = make_rate({"kind": "step", "milestones": [20]}, warmup)
    windows = [rate.window]
    for error in (90.0, 80.0):  # 80 is not below 80
        rate.observe_window(error)
        assert rate.at(10) == 0.01
    rate.observe_window(79.9)
    assert [*windows, rate.window] == [5, None]
    assert rate.at(10) == LR
    assert rate.at(20) == pytest.approx(LR / 10)


def test_state_goes_on_where_it_was() -> None:
    schedule = {"kind": "plateau", "on": "train", "patience": 2}
    warmup = {"kind": "until_train_error", "lr": 0.01, "below": 80.0, "window": 5}
    rate, resumed = make_rate(schedule, warmup), make_rate(schedule, warmup)
    rate.observe_window(70.0)
    for error in (60.0, 61.0, 62.0, 61.5):
        rate.observe_epoch(train_err=error, holdout_err=None)
    resumed.load_state_dict(rate.state_dict())
    for each in (rate, resumed):
        each.observe_epoch(train_err=61.5, holdout_err=None)
    assert resumed.at(0) == rate.at(0) == pytest.approx(LR / 100)
    assert all(math.isfinite(value) for value in rate.state_dict().values())


def test_schedule_of_a_single_step() -> None:
    train = make_job({"train.iterations": 1, "train.schedule": {"kind": "cosine"}}).train
    lengths = StepLengths(steps_per_epoch=10, num_steps=1, milestones=(), warmup_steps=0)
    assert LearningRate(train, lengths).at(0) == LR
