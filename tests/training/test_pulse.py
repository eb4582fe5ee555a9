"""When ranks look up: about once a second, whatever a step takes, and never on an old clock."""

from __future__ import annotations

import itertools

import pytest
import torch

from resnet_cluster.evaluation import Totals
from resnet_cluster.training import pulse
from resnet_cluster.training.pulse import MAX_STEPS_BETWEEN, Agreed, Pulse


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pulse, "time", clock)
    return clock


def beats(clock: Clock, *, first_step: int, num_steps: int, seconds_a_step: float) -> list[int]:
    """The steps at which a training that begins at `first_step` looks up."""
    each = Pulse(torch.device("cpu"), world_size=1)
    each.start(first_step)
    steps = []
    for step in range(first_step + 1, first_step + num_steps + 1):
        clock.now += seconds_a_step
        if each.is_due(step):
            each.beat(step, torch.zeros(4, dtype=torch.float64), stop=False)
            steps.append(step)
    return steps


@pytest.mark.parametrize("first_step", [0, 60_000])
@pytest.mark.parametrize(
    ("seconds_a_step", "expected"),
    [(0.01, [1, 101, 201]), (0.25, [1, 5, 9]), (7.0, [1, 2, 3])],
)
def test_about_once_a_second(
    clock: Clock, first_step: int, seconds_a_step: float, expected: list[int]
) -> None:
    """From wherever a training goes on: steps of an earlier process took none of its time."""
    steps = beats(clock, first_step=first_step, num_steps=300, seconds_a_step=seconds_a_step)
    assert [step - first_step for step in steps[:3]] == expected


def test_never_too_far_apart(clock: Clock) -> None:
    steps = beats(clock, first_step=0, num_steps=2000, seconds_a_step=1e-6)
    gaps = {after - before for before, after in itertools.pairwise(steps)}
    assert gaps == {MAX_STEPS_BETWEEN}


def test_sums_since_the_marks(clock: Clock) -> None:
    each = Pulse(torch.device("cpu"), world_size=1)
    sums = torch.tensor([10.0, 4.0, 2.0, 8.0], dtype=torch.float64)
    each.epoch_mark.copy_(torch.tensor([1.0, 1.0, 1.0, 2.0]))
    each.window_mark.copy_(torch.tensor([9.0, 3.0, 2.0, 6.0]))
    agreed = each.beat(1, sums, stop=True)
    assert agreed == Agreed(
        epoch=Totals(loss=9.0, wrong1=3.0, wrong5=1.0, num_images=6.0),
        window=Totals(loss=1.0, wrong1=1.0, wrong5=0.0, num_images=2.0),
        stop=True,
    )
