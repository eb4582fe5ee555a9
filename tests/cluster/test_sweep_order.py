"""What trials are given of a cluster, how many run at a time, and orders left for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories import make_job, make_run_record
from tiny_runs import tiny_job

from resnet_cluster.cluster.capacity import Cluster, concurrency
from resnet_cluster.cluster.limits import Limits
from resnet_cluster.cluster.rungs import rungs_of
from resnet_cluster.cluster.sweep_order import (
    SweepOptions,
    TrialOrder,
    read_order,
    write_order,
)
from resnet_cluster.cluster.trial_task import TrialTask
from resnet_cluster.spec import JobSpec


class _Board:
    def of(self, key: str) -> _Board:
        return self


def order(**resources: Any) -> TrialOrder:
    changes = {f"resources.{key}": value for key, value in resources.items()}
    return TrialOrder(
        place=3,
        job=JobSpec.model_validate(tiny_job({"resources.workers": 1} | changes)),
        dataset_folder=Path("/data/digits"),
        num_epochs=3,
        run_dir=Path("/runs/r-1"),
        record=None,
    )


def task(cluster: Cluster, trials_per_gpu: int = 1, **resources: Any) -> TrialTask:
    board: Any = _Board()
    return order(**resources).task(
        cluster, board, trials_per_gpu=trials_per_gpu, sweep_dir=Path("/runs/s-1"), attempt=2
    )


@pytest.mark.parametrize(
    ("cpus", "gpus", "per_gpu", "resources", "given", "at_a_time"),
    [
        (2, 0, 1, {}, (1, 0.0), 2),
        (16, 0, 1, {"cpus_per_worker": 3}, (3, 0.0), 5),
        (16, 0, 1, {"workers": 2, "cpus_per_worker": 4}, (4, 0.0), 2),
        (32, 4, 1, {}, (8, 1.0), 4),
        (32, 4, 4, {}, (2, 0.25), 16),
        (32, 4, 3, {}, (2, 1 / 3), 12),
        (32, 4, 64, {}, (1, 1 / 64), 32),  # cores run out first
        (64, 8, 1, {"workers": 4}, (8, 1.0), 2),
        (64, 8, 1, {"workers": 3}, (8, 1.0), 2),
        (32, 4, 1, {"gpu": "no"}, (1, 0.0), 32),
    ],
)
def test_trials_never_ask_for_more_than_there_is(
    cpus: int,
    gpus: int,
    per_gpu: int,
    resources: dict[str, Any],
    given: tuple[int, float],
    at_a_time: int,
) -> None:
    cluster = Cluster(address="h:1", num_cpus=cpus, num_gpus=gpus, num_nodes=1)
    made = task(cluster, per_gpu, **resources)
    assert (made.num_cpus, made.gpus_per_worker) == pytest.approx(given)
    found = concurrency([order(**resources).job], cluster, per_gpu)
    assert found == at_a_time
    assert found * made.workers * made.num_cpus <= cpus
    assert found * made.workers * made.gpus_per_worker <= gpus + 1e-9
    assert not made.cluster.needs_cleaner
    assert cluster.needs_cleaner


def test_the_largest_trial_counts_for_all() -> None:
    cluster = Cluster(address=None, num_cpus=8, num_gpus=0, num_nodes=1)
    assert concurrency([order().job, order(cpus_per_worker=3).job], cluster) == 2


def test_an_order_is_read_as_it_was_left(tmp_path: Path) -> None:
    record = make_run_record(make_job())
    orders = (order(), TrialOrder(**(vars(order()) | {"place": 4, "record": record})))
    options = SweepOptions(
        trials_per_gpu=2,
        retries=0,
        fail_fast=True,
        scheduler="asha",
        limits=Limits(price_per_hour=2.0, max_gpu_hours=1.5),
    )
    write_order(tmp_path, orders, options)
    assert read_order(tmp_path) == (orders, options)


def test_the_rule_of_asha_is_by_the_hold_out_where_all_have_one() -> None:
    without = make_job()
    with_holdout = make_job({"data.holdout": 5000})
    assert rungs_of("none", [without], 164) is None
    rule = rungs_of("asha", [with_holdout] * 2, 164)
    assert rule is not None
    assert rule.epochs == (1, 3, 9, 27, 81)
    assert "its hold-out error is among the best 1 in 3" in rule.text
    mixed = rungs_of("asha", [with_holdout, without], 3)
    assert mixed is not None
    assert mixed.epochs == (1,)  # not after the last epoch, which saves nothing
    assert mixed.metric == "train_top1_err"
    once = rungs_of("asha", [without], 1)
    assert once is not None
    assert once.text == "asha: stops nothing, for the trials have no more than an epoch"
