"""The learning rate: a function of the step, and of the errors where the recipe says so.

While a warm-up lasts it alone gives the rate; after it the schedule does.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from resnet_cluster.spec import (
    CosineSchedule,
    ErrorWarmup,
    LinearSchedule,
    LinearWarmup,
    PlateauSchedule,
    StepSchedule,
    TrainSpec,
)
from resnet_cluster.spec.lengths import StepLengths


@dataclass(frozen=True, kw_only=True)
class RateState:
    """What the rate remembers of the errors so far; plain numbers, kept in checkpoints."""

    warming_up: bool
    """Whether a warm-up that waits for the training error is still on."""
    drops: int = 0
    """Times that a plateau lowered the rate."""
    best: float = math.inf
    """Lowest error that the plateau has seen, in percent."""
    epochs_since_best: int = 0


class LearningRate:
    """Learning rate of each optimiser step.

    Args:
        train: the recipe.
        lengths: its lengths in optimiser steps.
    """

    def __init__(self, train: TrainSpec, lengths: StepLengths) -> None:
        self.train = train
        self.lengths = lengths
        self.state = RateState(warming_up=isinstance(train.warmup, ErrorWarmup))

    def at(self, step: int) -> float:
        """The rate of step `step`, counted from 0."""
        warmup = self.train.warmup
        if isinstance(warmup, ErrorWarmup) and self.state.warming_up:
            return warmup.lr
        if isinstance(warmup, LinearWarmup) and step < self.lengths.warmup_steps:
            share = step / self.lengths.warmup_steps
            return warmup.start_lr + share * (self._scheduled(step) - warmup.start_lr)
        return self._scheduled(step)

    @property
    def window(self) -> int | None:
        """Steps over which the training error is wanted next; None where it is not."""
        warmup = self.train.warmup
        waiting = isinstance(warmup, ErrorWarmup) and self.state.warming_up
        return warmup.window if waiting and isinstance(warmup, ErrorWarmup) else None

    def observe_window(self, train_err: float) -> None:
        """End the warm-up where the error of the last window, in percent, is below its bound."""
        warmup = self.train.warmup
        assert isinstance(warmup, ErrorWarmup)
        if train_err < warmup.below:
            self.state = replace(self.state, warming_up=False)

    def observe_epoch(self, *, train_err: float, holdout_err: float | None) -> None:
        """Let a plateau schedule see an epoch's errors, in percent; others need none."""
        schedule = self.train.schedule
        if not isinstance(schedule, PlateauSchedule):
            return
        error = holdout_err if schedule.on == "holdout" else train_err
        assert error is not None, "the reader of jobs asks for a hold-out"
        state = self.state
        if error < state.best - schedule.min_delta:
            self.state = replace(state, best=error, epochs_since_best=0)
        elif state.epochs_since_best + 1 < schedule.patience:
            self.state = replace(state, epochs_since_best=state.epochs_since_best + 1)
        else:
            self.state = replace(state, drops=state.drops + 1, epochs_since_best=0)

    def _scheduled(self, step: int) -> float:
        schedule, lr = self.train.schedule, self.train.lr
        if isinstance(schedule, StepSchedule):
            passed = sum(step >= milestone for milestone in self.lengths.milestones)
            return lr * schedule.gamma**passed
        if isinstance(schedule, PlateauSchedule):
            return lr * schedule.gamma**self.state.drops
        # Falling schedules start where a linear warm-up ends. The step after the last would have
        # final_lr, as with torch's schedulers: no step is spent at a rate of zero.
        first = self.lengths.warmup_steps
        share = max(0.0, (step - first) / max(1, self.lengths.num_steps - first))
        if isinstance(schedule, CosineSchedule):
            height = 0.5 * (1.0 + math.cos(math.pi * share))
            return schedule.final_lr + height * (lr - schedule.final_lr)
        if isinstance(schedule, LinearSchedule):
            return lr + share * (schedule.final_lr - lr)
        return lr

    def state_dict(self) -> dict[str, float | int | bool]:
        """What a checkpoint keeps."""
        return asdict(self.state)

    def load_state_dict(self, state: dict[str, float | int | bool]) -> None:
        """Go on from what a checkpoint kept."""
        self.state = RateState(**state)  # type: ignore[arg-type]  # written by state_dict
