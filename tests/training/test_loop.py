"""The course of a training: what ends it, what it reports, and what may steer it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from prepared import with_other_test_set
from tiny_jobs import (
    STEPS_PER_EPOCH,
    Journal,
    assert_same,
    figures,
    final_weights,
    last_state,
    make_tiny_job,
    train,
)

from resnet_cluster.checkpoints import CheckpointFolder
from resnet_cluster.training import pulse
from resnet_cluster.training.engine import Engine

WARMUP_LR, LR, WINDOW = 0.01, 0.05, 3


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop looks up after each step."""
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN", 0.0)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Every tensor in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    return [
        tensor
        for each in (inner if isinstance(value, dict | list) else [])
        for tensor in tensors_in(each)
    ]


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
@pytest.mark.parametrize("checkpoint_every_steps", [0, 1])
def test_divergence_ends_the_run(
    few_digits: Path, tmp_path: Path, precision: str, checkpoint_every_steps: int
) -> None:
    job = make_tiny_job(
        {
            "train.precision": precision,
            "train.lr": 1e6,
            "train.weight_decay": 1.0,
            "train.iterations": 4 * STEPS_PER_EPOCH,
        }
    )
    outcome, journal = train(
        job, few_digits, tmp_path, checkpoint_every_steps=checkpoint_every_steps
    )
    assert outcome.state == "DIVERGED"
    assert 0 < outcome.step < 4 * STEPS_PER_EPOCH
    assert f"after {outcome.step} steps" in outcome.message
    assert not (tmp_path / "weights.pt").exists()
    assert not journal.finals
    for epoch in journal.epochs:
        assert math.isfinite(epoch.train.loss)
    folder = CheckpointFolder(tmp_path)
    for step in folder.steps():
        assert step < outcome.step
        for tensor in tensors_in(folder.load(step)):
            assert tensor.isfinite().all()
    if checkpoint_every_steps:
        assert folder.steps()


def test_divergence_in_the_last_step_is_no_success(few_digits: Path, tmp_path: Path) -> None:
    """The loss of each step is finite; it is the last update that is not."""
    job = make_tiny_job({"train.lr": 1e6, "train.weight_decay": 1.0, "train.iterations": 30})
    diverged, _ = train(job, few_digits, tmp_path / "one", checkpoint_every_steps=1)
    message = "the weights are not finite"
    assert diverged.message.startswith(message), "the job no longer overflows in an update"
    shorter = make_tiny_job(
        {"train.lr": 1e6, "train.weight_decay": 1.0, "train.iterations": diverged.step}
    )
    outcome, journal = train(shorter, few_digits, tmp_path / "two")
    assert outcome == diverged
    assert not journal.finals


def test_stop_at_the_last_step_is_success(
    few_digits: Path, tmp_path: Path, every_step: None
) -> None:
    last = STEPS_PER_EPOCH + 1
    asked = itertools.count(1)
    outcome, journal = train(
        make_tiny_job({"train.iterations": last}),
        few_digits,
        tmp_path,
        stop_requested=lambda: next(asked) >= last,
    )
    assert outcome.state == "SUCCEEDED"
    assert len(journal.finals) == 1


def test_finished_run_reports_its_end_again(few_digits: Path, tmp_path: Path) -> None:
    """A process that died between its last checkpoint and its end has this left to do."""
    job = make_tiny_job()
    _, first = train(job, few_digits, tmp_path)
    weights = final_weights(tmp_path)
    (tmp_path / "weights.pt").unlink()
    outcome, second = train(job, few_digits, tmp_path)
    assert outcome.state == "SUCCEEDED"
    assert not second.epochs
    assert second.finals == first.finals
    assert_same(final_weights(tmp_path), weights)


@pytest.mark.parametrize("checkpoint_every_steps", [0, 1])
@pytest.mark.parametrize("seconds_between", [0.0, 1e9])
def test_figures_do_not_depend_on_who_looks(
    few_digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds_between: float,
    checkpoint_every_steps: int,
) -> None:
    job = make_tiny_job(
        {
            "train.warmup": {
                "kind": "until_train_error",
                "lr": WARMUP_LR,
                "below": 100,
                "window": WINDOW,
            },
            "evaluate.observe_every": 1,
        }
    )
    _, usual = train(job, few_digits, tmp_path / "usual")
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN", seconds_between)
    _, other = train(
        job, few_digits, tmp_path / "other", checkpoint_every_steps=checkpoint_every_steps
    )
    looks = [report.step for report in other.progress]
    assert (looks == list(range(1, 9))) == (seconds_between == 0 or checkpoint_every_steps == 1)
    assert [figures(epoch) for epoch in other.epochs] == [figures(epoch) for epoch in usual.epochs]
    assert_same(last_state(tmp_path / "other"), last_state(tmp_path / "usual"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_goes_on_where_it_was(
    few_digits: Path, tmp_path: Path, every_step: None, precision: str
) -> None:
    """The scale of fp16's losses, and how long it has held, among the rest."""
    job = make_tiny_job({"train.precision": precision, "train.ema": {"decay": 0.5}})
    train(job, few_digits, tmp_path / "whole")
    asked = itertools.count(1)
    outcome, _ = train(job, few_digits, tmp_path / "cut", stop_requested=lambda: next(asked) >= 3)
    assert outcome.step == 3
    train(job, few_digits, tmp_path / "cut")
    state = last_state(tmp_path / "whole")
    assert bool(state["shared"]["scaler"]) == (precision == "fp16")
    assert_same(last_state(tmp_path / "cut"), state)
    assert_same(final_weights(tmp_path / "cut"), final_weights(tmp_path / "whole"))


def test_resumed_run_looks_up_once_a_second(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that an earlier process took say nothing of how fast this one is."""
    job = make_tiny_job({"train.global_batch_size": 8, "train.bn_group": 8, "train.iterations": 24})
    clock = Clock()
    step = Engine.step

    def slow_step(self: Engine, *batches: Any, **rest: Any) -> None:
        clock.now += 0.25
        step(self, *batches, **rest)

    monkeypatch.setattr(pulse, "time", clock)
    monkeypatch.setattr(Engine, "step", slow_step)
    train(job, few_digits, tmp_path, stop_requested=lambda: clock.now > 2.3)
    _, resumed = train(job, few_digits, tmp_path)
    assert [report.step for report in resumed.progress] == [14, 18, 22, 24]


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def warmup_job(below: float, *, num_steps: int = 5 * WINDOW) -> Any:
    """A job that begins at a low rate until the error of a window is below a bound."""
    warmup = {"kind": "until_train_error", "lr": WARMUP_LR, "below": below, "window": WINDOW}
    return make_tiny_job({"train.warmup": warmup, "train.iterations": num_steps, "train.lr": LR})


def window_errors(journal: Journal) -> list[float]:
    """Percent errors of each window, out of what was reported of the epoch after each step."""
    wrong, previous = [], 0.0
    for report in journal.progress:
        place = (report.step - 1) % STEPS_PER_EPOCH + 1
        so_far = report.top1_err * place
        wrong.append(so_far - (previous if place > 1 else 0.0))
        previous = so_far
    return [sum(wrong[at : at + WINDOW]) / WINDOW for at in range(0, len(wrong), WINDOW)]


def test_warmup_ends_at_the_end_of_a_window(
    few_digits: Path, tmp_path: Path, every_step: None
) -> None:
    """Of the first window below the bound, also across epochs; a resume within one changes nothing.

    The bound is put between the errors that the same training has when its warm-up never ends.
    """
    _, endless = train(warmup_job(1e-6), few_digits, tmp_path / "endless")
    errors = window_errors(endless)
    lowest_before = [min(errors[:place]) for place in range(1, len(errors))]
    place = next(place for place, low in enumerate(lowest_before, 1) if errors[place] < low - 0.1)
    job = warmup_job((errors[place] + lowest_before[place - 1]) / 2)

    _, journal = train(job, few_digits, tmp_path / "whole")
    switch = (place + 1) * WINDOW
    rates = {report.step: report.lr for report in journal.progress}
    assert rates == {step: WARMUP_LR if step <= switch else LR for step in range(1, 16)}

    asked = itertools.count(1)
    outcome, _ = train(
        job, few_digits, tmp_path / "cut", stop_requested=lambda: next(asked) >= switch - 1
    )
    assert outcome.step == switch - 1
    _, resumed = train(job, few_digits, tmp_path / "cut")
    assert_same(final_weights(tmp_path / "cut"), final_weights(tmp_path / "whole"))
    assert {report.step: report.lr for report in resumed.progress}.items() <= rates.items()


def test_epoch_reports_the_rate_of_its_last_step(few_digits: Path, tmp_path: Path) -> None:
    """Also where that step was the last of the warm-up, or brought a drop of a plateau."""
    warmup = {"kind": "until_train_error", "lr": 0.01, "below": 100, "window": STEPS_PER_EPOCH}
    plateau = {"kind": "plateau", "on": "train", "patience": 1, "min_delta": 100.0}
    job = make_tiny_job(
        {
            "train.warmup": warmup,
            "train.schedule": plateau,
            "train.iterations": 3 * STEPS_PER_EPOCH,
        }
    )
    _, journal = train(job, few_digits, tmp_path)
    assert [epoch.lr for epoch in journal.epochs] == pytest.approx([0.01, 0.05, 0.005])


def test_test_set_steers_nothing(few_digits: Path, tmp_path: Path) -> None:
    """Trained beside another test set, or one that is never looked at, the run is the same."""
    changes = {
        "data.holdout": 50,
        "train.global_batch_size": 24,
        "train.iterations": 18,
        "train.schedule": {"kind": "plateau", "on": "holdout", "patience": 1, "min_delta": 5.0},
        "evaluate.select": "best_holdout",
    }
    seen = make_tiny_job(changes | {"evaluate.observe_every": 1})
    unseen = make_tiny_job(changes | {"evaluate.observe_every": 0})
    other_test_set = with_other_test_set(few_digits, tmp_path / "data")
    _, usual = train(seen, few_digits, tmp_path / "usual")
    _, other = train(seen, other_test_set, tmp_path / "other")
    _, blind = train(unseen, few_digits, tmp_path / "blind")

    def steered(journal: Journal) -> list[Any]:
        return [(epoch.lr, epoch.train, epoch.holdout) for epoch in journal.epochs]

    assert steered(usual) == steered(other) == steered(blind)
    assert_same(last_state(tmp_path / "usual"), last_state(tmp_path / "other"))
    assert_same(last_state(tmp_path / "usual"), last_state(tmp_path / "blind"))
    assert_same(final_weights(tmp_path / "usual"), final_weights(tmp_path / "other"))
    observed = [[epoch.observed_test for epoch in each.epochs] for each in (usual, other, blind)]
    assert observed[0] != observed[1]
    assert observed[2] == [None, None, None]
    assert usual.finals[0].score != other.finals[0].score
    assert usual.finals == blind.finals
