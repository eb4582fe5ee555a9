"""One worker of a Ray Train group: gives the training its context, and writes its events."""

from __future__ import annotations

import contextlib
import errno
import logging
import platform
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from resnet_cluster import training
from resnet_cluster.cluster.records import epoch_record, evaluation_record, norms_record
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.cluster.task import WorkerTask
from resnet_cluster.cluster.worker_output import output_in
from resnet_cluster.data import load_manifest
from resnet_cluster.errors import ResnetClusterError
from resnet_cluster.nets import offer_code
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptTraining,
    BadSampleRecord,
    EventLog,
    RunState,
)
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
            context.end(RunState(outcome.state), outcome.message or _place(outcome))


def _place(outcome: training.Outcome) -> str:
    """Where a stopped training is: its epochs alone would let it seem to be further back."""
    return f"its checkpoint is of step {outcome.step:,}" if outcome.state == "CANCELLED" else ""


class RayContext:
    """The world of one rank, as Ray Train gives it."""

    def __init__(self, task: WorkerTask, folder: RunFolder, checkpoint_every_steps: int) -> None:
        world = ray.train.get_context()
        self.world_rank: int = world.get_world_rank()
        self.world_size: int = world.get_world_size()
        self.local_rank: int = world.get_local_rank()
        self.local_world_size: int = world.get_local_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # gathering objects over NCCL takes the current one
        self.run_dir = task.run_dir
        self.checkpoint_every_steps = checkpoint_every_steps
        self.loader_threads = task.num_cpus
        self._attempt = task.attempt
        self._board = task.board
        self._folder = folder
        self._events = EventLog(task.run_dir)

    def training_begins(self, first_step: int) -> None:
        """Record that the attempt trains, and on what."""
        if self.world_rank == 0:
            self._events.record(
                AttemptTraining(
                    attempt=self._attempt,
                    world_size=self.world_size,
                    device=device_name(self.device),
                    first_step=first_step,
                )
            )

    def report(self, report: training.Report) -> None:
        """Write an event, or tell whoever watches; Ray gets an epoch's metrics."""
        if isinstance(report, training.BadSample):
            record = BadSampleRecord(split=report.split, place=report.place, why=report.why)
            self._events.record(record)
        elif self.world_rank == 0:
            self._tell(report)
        if isinstance(report, training.EpochResult):
            ray.train.report(_metrics(report))  # a barrier: every rank calls it

    def stop_requested(self) -> bool:
        """Whether the flag in the run's storage is up."""
        return self._folder.is_stop_requested(self._attempt)

    def end(self, state: RunState, message: str) -> None:
        """Record how the attempt ended."""
        self._events.record(AttemptEnded(attempt=self._attempt, state=state, message=message))

    def _tell(self, report: training.Report) -> None:
        match report:
            case training.Progress():
                self._board.post(report)
            case training.EpochResult():
                self._events.record(epoch_record(report, self._attempt))
            case training.NormsResult():
                self._events.record(norms_record(report))
            case training.FinalResult():
                self._events.record(evaluation_record(report))
            case training.WeightsFile(path=path, sha256=sha256):
                record = ArtefactRecord(
                    name="weights",
                    path=str(path.relative_to(self.run_dir)),
                    sha256=sha256,
                    num_bytes=path.stat().st_size,
                )
                self._events.record(record)


def device_name(device: torch.device) -> str:
    """Name of a device, as its maker gives it."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def explain(error: Exception, folder: RunFolder) -> str:
    """A failure in one sentence, with its mend."""
    if isinstance(error, ResnetClusterError):
        return f"{error.message}; {error.mend}" if error.mend else error.message
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left on {folder.path}; free some, then resume the run"
    return f"{type(error).__name__}: {error}"


def _metrics(result: training.EpochResult) -> dict[str, float | int]:
    metrics: dict[str, float | int] = {
        "epoch": result.epoch,
        "step": result.step,
        "lr": result.lr,
        "train_loss": result.train.loss,
        "train_top1_err": result.train.top1_err,
        "images_per_second": result.images_per_second,
    }
    if result.holdout:
        metrics["holdout_top1_err"] = result.holdout.top1_err
    return metrics
