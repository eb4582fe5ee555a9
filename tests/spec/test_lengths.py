"""Epochs and iterations as steps, against decimal arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_cluster.spec import RandomResizedSpec, TrainSpec, crop_side, schedule_in_steps

CONSTANT = {"kind": "constant"}


def recipe(**changes: Any) -> TrainSpec:
    fixed = {"global_batch_size": 128, "bn_group": 64, "lr": 0.1, "precision": "off"}
    return TrainSpec.model_validate({**fixed, "schedule": CONSTANT, **changes})


def test_the_papers_schedule() -> None:
    # Section 4.2: 64k iterations, drops at 32k and 48k; 50,000 images in batches of 128.
    steps = {"kind": "step", "milestones": [32_000, 48_000]}
    lengths = schedule_in_steps(recipe(iterations=64_000, schedule=steps), 50_000 // 128)
    assert lengths.num_steps == 64_000
    assert lengths.milestones == (32_000, 48_000)
    assert lengths.warmup_steps == 0
    assert lengths.num_epochs == 165  # 164 whole ones, and 40 steps


def test_two_epochs_of_it() -> None:
    steps = {"kind": "step", "milestones": [1.0, 1.5]}
    lengths = schedule_in_steps(recipe(epochs=2, schedule=steps), 390)
    assert (lengths.num_steps, lengths.num_epochs) == (780, 2)
    assert lengths.milestones == (390, 585)


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "num_steps", "num_epochs"),
    [
        (0.5, 3, 2, 1),  # a half is rounded upwards
        (0.5, 5, 3, 1),
        (0.1, 4, 1, 1),  # less than a half, and yet a training has a step
        (2.5, 10, 25, 3),
        (1.15, 10, 12, 2),  # the float 1.15 is below 1.15, which is what was written
        (1, 1, 1, 1),
    ],
)
def test_rounding(epochs: float, steps_per_epoch: int, num_steps: int, num_epochs: int) -> None:
    lengths = schedule_in_steps(recipe(epochs=epochs), steps_per_epoch)
    assert (lengths.num_steps, lengths.num_epochs) == (num_steps, num_epochs)


def test_a_warm_up_until_an_error_has_no_length() -> None:
    warmup = {"kind": "until_train_error", "lr": 0.01, "below": 80}
    assert schedule_in_steps(recipe(epochs=1, warmup=warmup), 390).warmup_steps == 0


def half_up(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP))


DECIMALS = st.decimals("0.01", "500", places=3)


@settings(max_examples=200, deadline=None)
@given(
    places=st.lists(DECIMALS, min_size=2, max_size=5, unique=True), per_epoch=st.integers(1, 5000)
)
def test_against_decimals(places: list[Decimal], per_epoch: int) -> None:
    *milestones, end = sorted(places)
    train = recipe(
        epochs=float(end),
        schedule={"kind": "step", "milestones": [float(place) for place in milestones]},
        warmup={"kind": "linear", "length": float(milestones[0])},
    )
    lengths = schedule_in_steps(train, per_epoch)
    assert lengths.num_steps == max(1, half_up(end * per_epoch))
    assert lengths.milestones == tuple(half_up(place * per_epoch) for place in milestones)
    assert lengths.warmup_steps == half_up(milestones[0] * per_epoch)
    assert (lengths.num_epochs - 1) * per_epoch < lengths.num_steps
    assert lengths.num_steps <= lengths.num_epochs * per_epoch


@settings(max_examples=100, deadline=None)
@given(
    places=st.lists(DECIMALS, min_size=1, max_size=5, unique=True), per_epoch=st.integers(1, 500)
)
def test_iterations_are_steps_whatever_an_epoch_is(places: list[Decimal], per_epoch: int) -> None:
    steps = {"kind": "step", "milestones": [float(place) for place in sorted(places)]}
    lengths = schedule_in_steps(recipe(iterations=501, schedule=steps), per_epoch)
    assert lengths.num_steps == 501
    assert lengths.milestones == tuple(half_up(place) for place in sorted(places))


def growing(size: int, from_size: int, begin: float, end: float) -> RandomResizedSpec:
    grow = {"from_size": from_size, "begin": begin, "end": end}
    return RandomResizedSpec.model_validate({"kind": "random_resized", "size": size, "grow": grow})


def test_crops_grow_as_ffcv_imagenets() -> None:
    """rn50_16_epochs.yaml: 160 pixels for three quarters of the epochs, then 192."""
    crop = growing(192, 160, 11, 13)
    sides = [crop_side(crop, recipe(epochs=16), epoch, 312) for epoch in range(16)]
    assert sides == [160] * 12 + [192] * 4


def test_crops_grow_by_the_iterations_where_these_are_the_length() -> None:
    crop = growing(224, 96, 1000, 5000)
    sides = [crop_side(crop, recipe(iterations=6000), epoch, 500) for epoch in range(12)]
    # At 1000, 1500, ...: 96, 112, 128, ... to the nearest multiple of 32, a half upwards.
    assert sides == [96, 96, 96, 128, 128, 160, 160, 192, 192, 224, 224, 224]


@given(
    st.integers(8, 500),
    st.integers(1, 500),
    st.floats(0, 90),
    st.floats(0, 90),
    st.integers(0, 90),
)
def test_crops_never_shrink_nor_leave_their_range(
    least: int, more: int, one: float, other: float, epoch: int
) -> None:
    crop = growing(least + more, least, *sorted([one, other]))
    now, then = (crop_side(crop, recipe(epochs=91), at, 10) for at in (epoch, epoch + 1))
    assert least <= now <= then <= least + more
