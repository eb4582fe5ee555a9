"""Epochs and iterations as optimiser steps: the one place where a recipe's lengths become whole.

A step counts a full global batch, so an epoch has `num_train_images // global_batch_size` of them.
A length that is not a whole number of steps is rounded to the nearest, and a half upwards. Numbers
are taken as they are written: 0.3 epochs are three tenths, not the float nearest to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from resnet_cluster.spec.data import RandomResizedSpec
from resnet_cluster.spec.train import LinearWarmup, StepSchedule, TrainSpec

_STEP = 32


@dataclass(frozen=True, kw_only=True)
class StepLengths:
    """The lengths of a recipe, in optimiser steps."""

    steps_per_epoch: int
    num_steps: int
    """Length of the training; at least one step."""
    milestones: tuple[int, ...]
    """Steps from which a step schedule's next factor holds; none for the other schedules."""
    warmup_steps: int
    """Length of a linear warm-up; 0 without one, and for one that waits for an error."""

    @property
    def num_epochs(self) -> int:
        """Epochs begun: the last one may be cut short."""
        return -(-self.num_steps // self.steps_per_epoch)


def schedule_in_steps(train: TrainSpec, steps_per_epoch: int) -> StepLengths:
    """The lengths of `train` on a data set whose epochs have `steps_per_epoch` steps."""
    assert steps_per_epoch >= 1
    unit = 1 if train.epochs is None else steps_per_epoch
    length = train.iterations if train.epochs is None else train.epochs
    assert length is not None, "a recipe has exactly one length"
    schedule, warmup = train.schedule, train.warmup
    milestones = schedule.milestones if isinstance(schedule, StepSchedule) else ()
    return StepLengths(
        steps_per_epoch=steps_per_epoch,
        num_steps=max(1, _rounded(length, unit)),
        milestones=tuple(_rounded(milestone, unit) for milestone in milestones),
        warmup_steps=_rounded(warmup.length, unit) if isinstance(warmup, LinearWarmup) else 0,
    )


def crop_side(crop: RandomResizedSpec, train: TrainSpec, epoch: int, steps_per_epoch: int) -> int:
    """Side of the training crops in an epoch, counted from 0.

    It grows on a straight line, in steps of 32 pixels, as ffcv-imagenet's does
    (`train_imagenet.py`, `get_resolution`), and never within an epoch.
    """
    grow = crop.grow
    if grow is None:
        return crop.size
    place = epoch if train.iterations is None else epoch * steps_per_epoch
    if place <= grow.begin:
        return grow.from_size
    if place >= grow.end:
        return crop.size
    share = (place - grow.begin) / (grow.end - grow.begin)
    side = grow.from_size + share * (crop.size - grow.from_size)
    return min(crop.size, max(grow.from_size, _STEP * math.floor(side / _STEP + 0.5)))


def as_written(number: float) -> Fraction:
    """The number that a float was written as: exactly its shortest decimal form."""
    return Fraction(repr(number))


def _rounded(length: float, unit: int) -> int:
    return math.floor(as_written(length) * unit + Fraction(1, 2))
