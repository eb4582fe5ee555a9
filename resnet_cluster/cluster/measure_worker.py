"""One worker of a Ray Train group that measures a run's weights, and writes the figure's event."""

from __future__ import annotations

import time
from collections.abc import Callable

import ray.train
import ray.train.torch
import torch

from resnet_cluster.checkpoints import load_weights
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.cluster.records import evaluation_record
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.task import MeasureTask
from resnet_cluster.cluster.worker_output import output_in
from resnet_cluster.data import load_manifest
from resnet_cluster.nets import offer_code
from resnet_cluster.results import EventLog
from resnet_cluster.spec import load_resolved, protocols
from resnet_cluster.training import LocalContext
from resnet_cluster.training.measure import measure

_SECONDS_BETWEEN = 0.5


def measure_worker(config: dict[str, MeasureTask]) -> None:
    """What Ray Train runs on every worker: its share of the images, under the task's protocol."""
    task = config["task"]
    world = ray.train.get_context()
    rank = world.get_world_rank()
    folder = RunFolder(task.run_dir)
    with output_in(folder.measuring_log(rank)):
        offer_code(folder.code)
        torch.set_num_threads(task.num_cpus)
        job, manifest = load_resolved(task.job), load_manifest(str(task.dataset_folder))
        context = LocalContext(
            run_dir=task.run_dir,
            world_rank=rank,
            world_size=world.get_world_size(),
            local_rank=world.get_local_rank(),
            local_world_size=world.get_local_world_size(),
            device=ray.train.torch.get_device(),
            loader_threads=task.num_cpus,
        )
        if context.device.type == "cuda":
            torch.cuda.set_device(context.device)
        (protocol,) = protocols(job, manifest.image_size)
        measured = measure(
            job,
            manifest,
            load_weights(task.weights, sha256=task.weights_sha256),
            protocol,
            context,
            step=task.step,
            on_progress=_posting(task.board) if rank == 0 else lambda done, total: None,
        )
        if rank == 0:
            EventLog(task.run_dir).record(evaluation_record(measured.result))
            task.board.post_values({"not_kept": measured.not_kept})


def _posting(board: ProgressBoard) -> Callable[[int, int], None]:
    """Posts the views done; the other ranks have as many to do, or one image more or less."""
    last = 0.0

    def post(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_BETWEEN:
            last = time.monotonic()
            board.post_values({"done": done, "total": total})

    return post
