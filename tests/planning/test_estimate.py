"""Estimates from probes that follow a known law, and what is probed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_cluster.planning import (
    Probe,
    SizedSteps,
    Workload,
    estimate_run,
    makespan,
    wanted_probes,
)
from resnet_cluster.planning.estimate import GROUP_STARTS


def work(
    *steps: tuple[int, float, int],
    flops: float = 100.0,
    images: Mapping[str, int] | None = None,
    group: str = "g",
    workers: int = 1,
) -> Workload:
    return Workload(
        group=group,
        flops=flops,
        steps=tuple(SizedSteps(side=side, flops=each, num_steps=n) for side, each, n in steps),
        images=images or {},
        num_checkpoints=3,
        workers=workers,
        disk_bytes=7,
    )


def probe(flops: float, *, group: str = "g") -> Probe:
    """Of a machine where each time is a constant and a share of the arithmetic."""
    return Probe(
        group=group,
        train_flops=flops,
        flops=flops,
        start_s=5.0,
        step_s=0.1 + 0.002 * flops,
        image_s={"single": 0.001 + 0.0001 * flops, "flip-softmax": 0.002 + 0.0002 * flops},
        checkpoint_s=0.5,
    )


@given(flops=st.floats(10, 1000))
def test_what_lies_between_the_probes_lies_on_their_line(flops: float) -> None:
    load = work((32, flops, 200), flops=flops, images={"single": 40, "flip-softmax": 10})
    found = estimate_run(load, [probe(1000), probe(10), probe(500, group="other")])
    steps = 200 * (0.1 + 0.002 * flops)
    images = 40 * (0.001 + 0.0001 * flops) + 10 * (0.002 + 0.0002 * flops)
    assert found.train_s == pytest.approx(steps + images + 3 * 0.5)
    assert found.start_s == pytest.approx(5)
    assert found.seconds == pytest.approx(found.train_s + 5)
    assert (found.held_s, found.disk_bytes) == (found.train_s, 7)


def test_a_network_that_was_probed_takes_what_was_timed() -> None:
    found = estimate_run(work((32, 10, 7), flops=10), [probe(10)])
    assert found.train_s == pytest.approx(7 * 0.12 + 1.5)


def test_several_workers_wait_for_one_another() -> None:
    found = estimate_run(work((32, 10, 7), flops=10, workers=2), [probe(10)])
    assert found.held_s == pytest.approx(found.train_s + GROUP_STARTS * 5)


def test_sizes_of_images_are_steps_of_their_own() -> None:
    load = work((128, 40, 100), (160, 62.5, 100), (224, 100, 50))
    found = estimate_run(load, [probe(40), probe(100)])
    expected = sum(n * (0.1 + 0.002 * flops) for flops, n in ((40, 100), (62.5, 100), (100, 50)))
    assert found.train_s == pytest.approx(expected + 1.5)


def test_the_ends_of_each_group_are_probed() -> None:
    loads = [
        work((32, 30, 5), flops=30),
        work((32, 10, 5), flops=10),
        work((32, 50, 5), flops=50),
        work((128, 40, 5), (224, 100, 5), group="other"),
        work((32, 10, 5), flops=10, group="alone"),
    ]
    found = [(each.place, each.side, each.flops) for each in wanted_probes(loads)]
    assert found == [(1, 32, 10), (2, 32, 50), (3, 128, 40), (3, 224, 100), (4, 32, 10)]


def test_runs_are_begun_in_their_order() -> None:
    assert makespan([3, 3, 2, 4], 2) == 7  # 3 and 4, 3 and 2
    assert makespan([3, 3, 2], 8) == 3
    assert makespan([3, 3, 2], 1) == 8


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.integers(1, 12))
def test_a_makespan_keeps_grahams_bound(seconds: list[float], at_once: int) -> None:
    """Graham 1966: a list schedule ends within twice the best, which no schedule beats."""
    least = max(max(seconds), sum(seconds) / at_once)
    assert least * (1 - 1e-9) <= makespan(seconds, at_once) <= 2 * least
