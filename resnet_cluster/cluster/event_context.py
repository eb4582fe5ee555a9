"""What a training says of itself, written as its run's events; its place among ranks is added."""

from __future__ import annotations

import contextlib
import errno
import platform
from pathlib import Path

import torch

from resnet_cluster import training
from resnet_cluster.cluster.progress import ProgressBoard
from resnet_cluster.cluster.records import epoch_record, evaluation_record, norms_record
from resnet_cluster.cluster.run_folder import RunFolder
from resnet_cluster.errors import ResnetClusterError
from resnet_cluster.results import (
    ArtefactRecord,
    AttemptEnded,
    AttemptTraining,
    BadSampleRecord,
    EventLog,
    RunState,
)


class EventContext:
    """The world of one rank, but for its place among the others: here it is the only one.

    Args:
        folder: the run's.
        attempt: the attempt that this rank is part of.
        board: where progress is posted.
        device: where it computes.
        num_cpus: cores of this rank.
        checkpoint_every_steps: steps between checkpoints within an epoch.
    """

    def __init__(
        self,
        folder: RunFolder,
        attempt: int,
        board: ProgressBoard,
        *,
        device: torch.device,
        num_cpus: int,
        checkpoint_every_steps: int,
    ) -> None:
        self.world_rank = self.local_rank = 0
        self.world_size = self.local_world_size = 1
        self.device = device
        self.run_dir = folder.path
        self.checkpoint_every_steps = checkpoint_every_steps
        self.loader_threads = num_cpus
        self._attempt = attempt
        self._board = board
        self._folder = folder
        self._events = EventLog(folder.path)
        if device.type == "cuda":
            torch.cuda.set_device(device)  # gathering objects over NCCL takes the current one

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
        """Write an event, or tell whoever watches."""
        if isinstance(report, training.BadSample):
            record = BadSampleRecord(split=report.split, place=report.place, why=report.why)
            self._events.record(record)
        elif self.world_rank == 0:
            self._tell(report)
        if isinstance(report, training.EpochResult):
            self.epoch_ended(metrics(report))

    def epoch_ended(self, metrics: dict[str, float | int]) -> None:
        """Called on every rank once an epoch is recorded."""

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


def metrics(result: training.EpochResult) -> dict[str, float | int]:
    """An epoch as numbers; none of them is of the test split, which steers nothing."""
    found: dict[str, float | int] = {
        "epoch": result.epoch,
        "step": result.step,
        "lr": result.lr,
        "train_loss": result.train.loss,
        "train_top1_err": result.train.top1_err,
        "images_per_second": result.images_per_second,
    }
    if result.holdout:
        found["holdout_top1_err"] = result.holdout.top1_err
    return found


def place(outcome: training.Outcome) -> str:
    """Where a stopped training is: its epochs alone would let it seem to be further back."""
    return f"its checkpoint is of step {outcome.step:,}" if outcome.state == "CANCELLED" else ""


def device_name(device: torch.device) -> str:
    """Name of a device, as its maker gives it."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def explain(error: BaseException, folder: RunFolder) -> str:
    """A failure in one sentence, with its mend."""
    if isinstance(error, ResnetClusterError):
        return f"{error.message}; {error.mend}" if error.mend else error.message
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left on {folder.path}; free some, then resume the run"
    return f"{type(error).__name__}: {error}"
