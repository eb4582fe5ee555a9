"""One worker of a Ray Train group: one rank of a training, with its context from Ray."""

from __future__ import annotations

import logging

import ray.train
import ray.train.torch
import torch

from resnet_cluster import training
from resnet_cluster.cluster.event_context import EventContext, explain, place
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.task import WorkerTask
from resnet_cluster.cluster.worker_output import output_in
from resnet_cluster.data import load_manifest
from resnet_cluster.errors import ResnetClusterError
from resnet_cluster.nets import offer_code
from resnet_cluster.results import RunState
from resnet_cluster.spec import load_resolved


def train_worker(config: dict[str, WorkerTask]) -> None:
    """What Ray Train runs on every worker: one rank of a training, from its events to its end."""
    task = config["task"]
    folder = RunFolder(task.run_dir)
    rank = ray.train.get_context().get_world_rank()
    with output_in(folder.worker_log(task.attempt, rank)):
        offer_code(folder.code)
        job = load_resolved(task.job)
        torch.set_num_threads(task.num_cpus)
        context = RayContext(task, folder, job.resources.checkpoint_every_steps)
        try:
            outcome = training.run(job, load_manifest(str(task.dataset_folder)), context)
        except (ResnetClusterError, OSError) as error:
            # The first rank to fail knows why; the others will only see it leave.
            logging.exception("rank %d failed", rank)
            context.end(RunState.FAILED, explain(error, folder))
            raise
        if rank == 0:
            context.end(RunState(outcome.state), outcome.message or place(outcome))


class RayContext(EventContext):
    """The world of one rank, as Ray Train gives it."""

    def __init__(self, task: WorkerTask, folder: RunFolder, checkpoint_every_steps: int) -> None:
        super().__init__(
            folder,
            task.attempt,
            task.board,
            device=ray.train.torch.get_device(),
            num_cpus=task.num_cpus,
            checkpoint_every_steps=checkpoint_every_steps,
        )
        world = ray.train.get_context()
        self.world_rank = world.get_world_rank()
        self.world_size = world.get_world_size()
        self.local_rank = world.get_local_rank()
        self.local_world_size = world.get_local_world_size()

    def epoch_ended(self, metrics: dict[str, float | int]) -> None:
        """Give Ray an epoch's metrics: a barrier, every rank calls it."""
        ray.train.report(metrics)
