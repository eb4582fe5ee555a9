"""Ray Train's trainer for one attempt."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
    get_or_create_autoscaling_coordinator,
)
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from resnet_cluster.cluster.capacity import Cluster, cpus_per_worker, takes_gpu
from resnet_cluster.cluster.groups import NotesGroup
from resnet_cluster.cluster.measure_worker import measure_worker
from resnet_cluster.cluster.process_group import ProcessGroupConfig
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.task import MeasureTask, WorkerTask
from resnet_cluster.cluster.worker import train_worker
from resnet_cluster.spec import JobSpec

COLLECTIVE_TIMEOUT_S = 600
"""Longest wait of a rank for the others: beyond it the attempt fails instead of hanging."""


def build_trainer(job: JobSpec, task: WorkerTask, cluster: Cluster) -> DataParallelTrainer:
    """A trainer whose `fit` runs the attempt; metrics go to Ray, checkpoints never."""
    return _trainer(job, task.run_dir, cluster, f"attempt-{task.attempt:03d}", train_worker, task)


def build_measurer(job: JobSpec, task: MeasureTask, cluster: Cluster) -> DataParallelTrainer:
    """A trainer whose `fit` measures a run's weights on all workers."""
    name = f"measuring-{secrets.token_hex(4)}"
    return _trainer(job, task.run_dir, cluster, name, measure_worker, task)


def _trainer(
    job: JobSpec,
    run_dir: Path,
    cluster: Cluster,
    name: str,
    function: Callable[[dict[str, Any]], None],
    task: WorkerTask | MeasureTask,
) -> DataParallelTrainer:
    """A trainer of the job's workers.

    Args:
        job: for its resources.
        run_dir: the run's folder.
        cluster: where the workers will be.
        name: one of its own each time: Ray would otherwise restore what it remembers.
        function: what each worker runs.
        task: what each is given.
    """
    use_gpu = takes_gpu(job, cluster)
    kind = _LeanTrainer if cluster.needs_cleaner else _UncleanedTrainer
    return kind(
        function,
        train_loop_config={"task": task},
        backend_config=ProcessGroupConfig(timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=job.resources.workers,
            use_gpu=use_gpu,
            resources_per_worker=_resources(job, cluster, use_gpu),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(RunFolder(run_dir).ray),
            failure_config=FailureConfig(  # type: ignore[call-arg]  # declared as V1's
                max_failures=0, controller_failure_limit=0
            ),
        ),
    )


def start_coordinator() -> None:
    """Start the actor to which Ray Train tells what it needs, and do not wait for it.

    Its controller would start it, after its own imports and before it asks for workers.
    """
    get_or_create_autoscaling_coordinator()  # type: ignore[no-untyped-call]


def _resources(job: JobSpec, cluster: Cluster, use_gpu: bool) -> dict[str, float]:
    resources = {"CPU": float(cpus_per_worker(job, cluster))}
    return resources | {"GPU": 1.0} if use_gpu else resources


class _LeanTrainer(DataParallelTrainer):
    """Without the process that would hand out Ray's data sets: FFCV loads the images."""

    unwanted: ClassVar[tuple[type, ...]] = (DatasetsCallback,)

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        kept = [c for c in callbacks if not isinstance(c, self.unwanted)]
        assert self.train_loop_config is not None
        return [*kept, NotesGroup(self.train_loop_config["task"].board)]


class _UncleanedTrainer(_LeanTrainer):
    """For a cluster that dies with this process, and for trials, whose sweep cleans up behind them.

    The cleaner takes 600 MB, and fails where the machine has a second Ray cluster.
    """

    unwanted = (DatasetsCallback, PlacementGroupCleanerCallback)
